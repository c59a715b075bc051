#!lua flags=allow-oom
-- renew: extends a claim, and moves its safety job along.
-- KEYS    1 epoch, 2 upload
-- ARGV    1 epoch, 2 fence, 3 microseconds
-- RETURNS {'applied', upload, {}} | {'refused', 'fence'} | {'refused', 'state', state} | {'unknown'}

local duration = tonumber(ARGV[3])
local upload = named()
if not upload then return { 'unknown' } end
if upload.fields.state ~= 'merging' and upload.fields.state ~= 'committing' then return refused_state(upload) end
if not holds(upload, ARGV[2]) then return refused('fence') end
lease(upload, ARGV[2], upload.fields.holder or '', duration)
record(upload, 'merge:' .. upload.id, now + duration + 1000000)
return applied(upload)
