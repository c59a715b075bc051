#!lua flags=allow-oom
-- expire: ends an abandoned upload whose time has come, and records its clean job.
-- KEYS    1 epoch, 2 upload
-- ARGV    1 epoch
-- RETURNS {'applied', upload, entries} | {'refused', 'notDue', upload} | {'refused', 'state', state} | {'unknown'}

local upload = named()
if not upload then return { 'unknown' } end
local state = transitions.expire[upload.fields.state]
if not state then return refused_state(upload) end
if number(upload, 'expiresAt') > now then return refused('notDue', flat(upload)) end
note(upload, 'expired')
return applied(upload, { finish(upload, state) })
