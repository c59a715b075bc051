#!lua
-- receive: records a staged part and its ship job.
-- KEYS    1 epoch, 2 upload
-- ARGV    1 epoch, 2 offset, 3 size, 4 digest (32 bytes)
-- RETURNS {'applied', upload, entries} | {'refused', 'conflict', size, digest} | {'refused', 'state', state}
--         | {'unknown'}

local offset, size, digest = ARGV[2], ARGV[3], ARGV[4]
local upload = named()
if not upload then return { 'unknown' } end
local fields = upload.fields
local isDamaged = fields.state == 'failed' and fields.reason == 'part-damaged'
if ended[fields.state] then return refused_state(upload) end
-- What is known stays acknowledged, however far the upload is by now.
local part = load_part(upload, offset)
if part then
  if part.digest == digest and part.size == size then return applied(upload) end
  return refused('conflict', part.size, part.digest)
end
-- One that has failed before its end takes the rest: it goes on once it is replayed.
local isStopped = fields.state == 'failed' and fields.complete ~= '1'
if not shippable[fields.state] and not isDamaged and not isStopped then return refused_state(upload) end
if fields.state == 'shipping' then return refused_state(upload) end
if is_backed_up(fields.target) then return backed_up(fields.target) end

insert_part(upload, offset, size, digest)
count_moved('received', size)
touch(upload)
set(upload, 'expiresAt', now + number(upload, 'expiresIn'))
if fields.idempotencyKey then
  local key = prefix .. 'idem:' .. fields.owner .. ':' .. fields.idempotencyHash
  if redis.call('GET', key) == upload.id then
    redis.call('PEXPIREAT', key, digits(math.ceil(number(upload, 'expiresAt') / 1000)))
  end
end
if isDamaged and is_whole(upload) then
  note(upload, 'replayed', fields.owner)
  move(upload, transitions.replay.failed)
  set(upload, 'fromState', nil)
  explain(upload, nil, nil)
  add(upload, 'round', 1)
  -- The jobs of other parts were dropped while it had failed: the merge job records them anew.
  record_merge(upload)
end
if isStopped then return applied(upload) end
return applied(upload, { record(upload, 'ship:' .. upload.id .. ':' .. offset, now + grace) })
