#!lua flags=allow-oom
-- cancel: gives an upload up, and records its clean job.
-- KEYS    1 epoch, 2 upload
-- ARGV    1 epoch, 2 by whom, 3 which may go: 'any', 'untouched' (nothing of it was acknowledged) or 'failed'
-- RETURNS {'applied', upload, entries} | {'refused', 'committing'} | {'refused', 'ended', upload}
--         | {'refused', 'unfit', upload} | {'unknown'}

local upload = named()
if not upload then return { 'unknown' } end
local fields = upload.fields
if ended[fields.state] then return refused('ended', flat(upload)) end
local isUntouched = fields.state == 'receiving' and number(upload, 'receivedParts') == 0
if ARGV[3] == 'untouched' and not isUntouched or ARGV[3] == 'failed' and fields.state ~= 'failed' then
  return refused('unfit', flat(upload))
end
local state = transitions.cancel[fields.state]
if not state then return refused('committing') end
note(upload, 'cancelled', ARGV[2])
return applied(upload, { finish(upload, state) })
