#!lua
-- restore_parts: brings parts back that staging has; where the index has other content at an offset, staging wins.
-- KEYS    1 epoch, 2 upload
-- ARGV    offset, size and digest (32 bytes) of each part, at most 500
-- RETURNS how many were new, or nothing where the upload takes no parts

local upload = named()
if not upload or ended[upload.fields.state] then return false end
local count = 0
for i = 1, #ARGV, 3 do
  local part = load_part(upload, ARGV[i])
  if part and (part.size ~= ARGV[i + 1] or part.digest ~= ARGV[i + 2]) then
    remove_part(upload, ARGV[i], part)
    part = nil
  end
  if not part then
    insert_part(upload, ARGV[i], ARGV[i + 1], ARGV[i + 2])
    count = count + 1
  end
end
save(upload)
return count
