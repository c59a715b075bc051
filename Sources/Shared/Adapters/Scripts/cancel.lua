#!lua flags=allow-oom
-- cancel: gives an upload up, and records its clean job.
-- KEYS    1 epoch, 2 upload
-- ARGV    1 epoch, 2 whether only an upload of which nothing was acknowledged may go ('1' or '0')
-- RETURNS {'applied', upload, entries} | {'refused', 'committing'} | {'refused', 'ended', upload}
--         | {'refused', 'touched', upload} | {'unknown'}

local upload = named()
if not upload then return { 'unknown' } end
local fields = upload.fields
if ended[fields.state] then return refused('ended', flat(upload)) end
if ARGV[2] == '1' and (fields.state ~= 'receiving' or number(upload, 'receivedParts') > 0) then
  return refused('touched', flat(upload))
end
local state = transitions.cancel[fields.state]
if not state then return refused('committing') end
return applied(upload, { finish(upload, state) })
