#!lua flags=allow-oom
-- claim: claims a merge for a time, leaving a merge job in the outbox that is due a second after it.
-- KEYS    1 epoch, 2 upload
-- ARGV    1 epoch, 2 holder, 3 microseconds
-- RETURNS {'applied', upload, {}} | {'refused', 'leased', until} | {'refused', 'state', state} | {'unknown'}

local duration = tonumber(ARGV[3])
local upload = named()
if not upload then return { 'unknown' } end
if upload.fields.state ~= 'merging' and upload.fields.state ~= 'committing' then return refused_state(upload) end
local left = redis.call('PTTL', lease_key(upload))
if left >= 0 then return refused('leased', digits(now + left * 1000)) end
local fence = math.max(number(upload, 'number') + 1, now)
set(upload, 'number', fence)
set(upload, 'fence', fence)
set(upload, 'holder', ARGV[2])
touch(upload)
lease(upload, digits(fence), ARGV[2], duration)
record(upload, 'merge:' .. upload.id, now + duration + 1000000)
return applied(upload)
