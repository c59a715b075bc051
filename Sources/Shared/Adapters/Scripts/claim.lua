#!lua flags=allow-oom
-- claim: claims a merge for a time, leaving a merge job in the outbox that is due a second after it.
-- KEYS    1 epoch, 2 upload
-- ARGV    1 epoch, 2 holder, 3 microseconds
-- RETURNS {'applied', upload, {}} | {'refused', 'leased', until} | {'refused', 'poisoned', upload}
--         | {'refused', 'state', state} | {'unknown'}

local duration = tonumber(ARGV[3])
local upload = named()
if not upload then return { 'unknown' } end
if upload.fields.state ~= 'merging' and upload.fields.state ~= 'committing' then return refused_state(upload) end
local left = redis.call('PTTL', lease_key(upload))
if left >= 0 then
  -- Whoever asks gives its job up; one that is due after the claim must be there, whatever became of the claim's own.
  redis.call('ZADD', outbox(upload), 'NX', digits(now + left * 1000 + 1000000), 'merge:' .. upload.id)
  return refused('leased', digits(now + left * 1000))
end
-- A claim that was neither given back nor worked off: its worker died of it, or was away for longer than the lease.
if upload.fields.fence and upload.fields.releasedFence ~= upload.fields.fence then
  add(upload, 'lapses', 1)
  if number(upload, 'lapses') >= poison_limit then
    local detail = 'its merge was begun ' .. upload.fields.lapses .. ' times, and no worker came back from it'
    fail(upload, 'poison', detail, 'merge:' .. upload.id, number(upload, 'attempts'), upload.fields.holder)
    save(upload)
    return refused('poisoned', flat(upload))
  end
end
local fence = math.max(number(upload, 'number') + 1, now)
set(upload, 'number', fence)
set(upload, 'fence', fence)
set(upload, 'holder', ARGV[2])
-- It may leave a part file of its own behind.
if carries(upload) then add(upload, 'preparations', 1) end
touch(upload)
lease(upload, digits(fence), ARGV[2], duration)
record(upload, 'merge:' .. upload.id, now + duration + 1000000)
return applied(upload)
