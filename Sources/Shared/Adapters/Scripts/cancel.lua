#!lua flags=allow-oom
-- cancel: gives an upload up, and records its clean job.
-- KEYS    1 epoch, 2 upload
-- ARGV    1 epoch
-- RETURNS {'applied', upload, entries} | {'refused', 'committing'} | {'refused', 'ended', upload} | {'unknown'}

local upload = named()
if not upload then return { 'unknown' } end
if ended[upload.fields.state] then return refused('ended', flat(upload)) end
local state = transitions.cancel[upload.fields.state]
if not state then return refused('committing') end
return applied(upload, { finish(upload, state) })
