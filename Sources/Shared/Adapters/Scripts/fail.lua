#!lua flags=allow-oom
-- fail: records that an upload cannot go on by itself.
-- KEYS    1 epoch, 2 upload
-- ARGV    1 epoch, 2 fence (empty: not a merge's holder), 3 reason, 4 detail, 5 job, 6 how often it had failed before,
--         7 by whom
-- RETURNS {'applied', upload, {}} | {'refused', 'fence'} | {'refused', 'state', state} | {'unknown'}

local upload = named()
if not upload then return { 'unknown' } end
local fields = upload.fields
if fields.state == 'failed' then return applied(upload) end
if not transitions.fail[fields.state] then return refused_state(upload) end
local isFree = ARGV[2] == '' and shippable[fields.state]
if not isFree and not holds(upload, ARGV[2]) then return refused('fence') end
fail(upload, ARGV[3], ARGV[4], ARGV[5], tonumber(ARGV[6]), ARGV[7])
return applied(upload)
