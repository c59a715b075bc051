#!lua flags=allow-oom
-- expire: ends an abandoned upload whose time has come, and records its clean job.
-- KEYS    1 epoch, 2 upload
-- ARGV    1 epoch
-- RETURNS {'applied', upload, entries} | {'refused', 'notDue', upload} | {'refused', 'state', state} | {'unknown'}

local upload = named()
if not upload then return { 'unknown' } end
local state = transitions.expire[upload.fields.state]
-- What was acknowledged as a whole is nobody's to throw away but the operator's.
if not state or upload.fields.complete == '1' then return refused_state(upload) end
if number(upload, 'expiresAt') > now then return refused('notDue', flat(upload)) end
note(upload, 'expired')
return applied(upload, { finish(upload, state) })
