#!lua
-- create: takes the path lock for a new upload, or says who has it.
-- KEYS    1 epoch, 2 upload, 3 path lock, 4 idempotency key (left out where there is none)
-- ARGV    1 epoch, then the fields and values of the new upload
-- RETURNS {'created' | 'repeated' | 'held', upload} | {'forbidden'}

local known = named()
if known then return { 'created', flat(known) } end
if redis.call('EXISTS', never_key(named_id())) == 1 then return { 'forbidden' } end
local earlier = KEYS[4] and redis.call('GET', KEYS[4])
local repeated = earlier and load(earlier)
-- One that was given up, perhaps because this very request could not be served, is no answer to it.
if repeated and repeated.fields.state ~= 'cancelled' and repeated.fields.state ~= 'expired' then
  return { 'repeated', flat(repeated) }
end
-- A lock whose upload is gone holds nothing.
local holder = redis.call('GET', KEYS[3])
local held = holder and load(holder)
if held then return { 'held', flat(held) } end

local upload = { id = named_id(), key = KEYS[2], fields = {}, changed = {} }
for i = 2, #ARGV, 2 do set(upload, ARGV[i], ARGV[i + 1]) end
if is_backed_up(upload.fields.target) then return backed_up(upload.fields.target) end
move(upload, 'receiving')
enroll(upload, KEYS[3], KEYS[4])
note(upload, 'created', upload.fields.owner)
save(upload)

-- Each creation forgets two of the oldest names whose history has run out, so that no set grows for ever.
for _, names in ipairs({ prefix .. 'uploads', prefix .. 'owner:' .. upload.fields.owner }) do
  for _, id in ipairs(redis.call('ZRANGE', names, 0, 1)) do
    if redis.call('EXISTS', prefix .. 'u:' .. id) == 0 then redis.call('ZREM', names, id) end
  end
end
return { 'created', flat(upload) }
