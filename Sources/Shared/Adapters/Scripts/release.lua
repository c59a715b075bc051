#!lua flags=allow-oom
-- release: gives a claim up early; its safety job becomes due at once.
-- KEYS    1 epoch, 2 upload
-- ARGV    1 epoch, 2 fence
-- RETURNS nothing

local upload = named()
if not upload or not holds(upload, ARGV[2]) then return false end
if upload.fields.state ~= 'merging' and upload.fields.state ~= 'committing' then return false end
revoke(upload)
save(upload)
record(upload, 'merge:' .. upload.id, now)
return false
