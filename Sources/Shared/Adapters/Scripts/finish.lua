#!lua flags=allow-oom
-- finish: records the commit, and the clean job.
-- KEYS    1 epoch, 2 upload
-- ARGV    1 epoch, 2 fence, 3 whether the rename was one step ('1' or '0')
-- RETURNS {'applied', upload, entries} | {'refused', 'fence'} | {'refused', 'state', state} | {'unknown'}

local upload = named()
if not upload then return { 'unknown' } end
local fields = upload.fields
if fields.state == 'done' and fields.fence == ARGV[2] then return applied(upload) end
local state = transitions.finish[fields.state]
if not state then return refused_state(upload) end
if not holds(upload, ARGV[2]) then return refused('fence') end
set(upload, 'atomic', ARGV[3])
note(upload, 'done', fields.holder)
explain(upload, nil, nil)
return applied(upload, { finish(upload, state) })
