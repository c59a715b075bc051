#!lua
-- submit: records the only part of an upload, and that its end was asked for; the merge takes the part to the target.
-- KEYS    1 epoch, 2 upload
-- ARGV    1 epoch, 2 offset, 3 size, 4 digest (32 bytes), 5 digest (64 hexadecimal digits)
-- RETURNS {'applied', upload, entries} | {'refused', 'state', state} | {'unknown'}

local upload = named()
if not upload then return { 'unknown' } end
local fields = upload.fields
if fields.state ~= 'receiving' or fields.receivedParts ~= '0' or fields.size ~= ARGV[3] then
  return refused_state(upload)
end
if is_backed_up(fields.target) then return backed_up(fields.target) end
insert_part(upload, ARGV[2], ARGV[3], ARGV[4])
count_moved('received', ARGV[3])
set(upload, 'whole', ARGV[5])
set(upload, 'complete', '1')
note(upload, 'completed', fields.owner)
move(upload, transitions.allShipped[transitions.complete[fields.state]])
return applied(upload, { record_merge(upload) })
