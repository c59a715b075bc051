#!lua flags=allow-oom
-- generation: a number for a new generation of an upload that still goes on, and that preparation counted.
-- KEYS    1 epoch, 2 upload
-- ARGV    1 epoch
-- RETURNS {number, upload} | nothing

local upload = named()
if not upload or not active[upload.fields.state] then return false end
set(upload, 'number', math.max(number(upload, 'number') + 1, now))
add(upload, 'preparations', 1)
save(upload)
return { upload.fields.number, flat(upload) }
