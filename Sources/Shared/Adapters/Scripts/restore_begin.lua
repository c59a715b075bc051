#!lua
-- restore_begin: makes an upload again that staging has and the index has not. What the index knows stays.
-- KEYS    1 epoch, 2 upload, 3 path lock, 4 idempotency key (left out where there is none)
-- ARGV    1 whether staging says that it has ended ('1' or '0'), 2 how many part files may have been begun on the target
--         that the index does not know of ('1' or '0'), then the fields and values of the new upload
-- RETURNS {'applied', upload, {}} | {'refused', 'path', identifier}

local hasEnded = ARGV[1] == '1'
local upload = named()
local holder = redis.call('GET', KEYS[3])
local held = holder and holder ~= named_id() and load(holder)
if upload then
  -- A known upload that lost its lock takes it back.
  if not held and not ended[upload.fields.state] then redis.call('SET', KEYS[3], upload.id) end
  -- An index that lost its last second may not know of a part file that was begun in it.
  if not ended[upload.fields.state] then add(upload, 'preparations', tonumber(ARGV[2])) end
  return applied(upload)
end
-- An ended upload only waits to be cleaned away: it neither needs the path nor keeps another from it.
if held and not ended[held.fields.state] and not hasEnded then
  -- Of two, one was never answered: a creation that was refused, or was under way when the index was lost. It is not
  -- the one that anything came for.
  local isEmpty = held.fields.state == 'receiving' and number(held, 'receivedParts') == 0 and held.fields.complete ~= '1'
  if not isEmpty or ARGV[2] == '0' then return refused('path', holder) end
  note(held, 'cancelled')
  finish(held, transitions.cancel[held.fields.state])
  save(held)
end

upload = { id = named_id(), key = KEYS[2], fields = {}, changed = {} }
for i = 3, #ARGV, 2 do set(upload, ARGV[i], ARGV[i + 1]) end
set(upload, 'expiresAt', math.max(number(upload, 'expiresAt'), now + number(upload, 'expiresIn')))
-- Nobody knows what was begun on the target before.
set(upload, 'preparations', ARGV[2])
move(upload, 'receiving')
enroll(upload, not (held and hasEnded) and KEYS[3] or nil, nil)
if KEYS[4] then
  redis.call('SET', KEYS[4], upload.id, 'PXAT', digits(math.ceil(number(upload, 'expiresAt') / 1000)), 'NX')
end
return applied(upload)
