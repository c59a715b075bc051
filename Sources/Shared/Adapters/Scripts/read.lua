#!lua flags=no-writes
-- read: one upload, and one of its parts if asked for.
-- KEYS    1 epoch, 2 upload
-- ARGV    1 offset (left out: no part)
-- RETURNS {upload, part or nothing} | nothing

local upload = named()
if not upload then return false end
return { flat(upload), ARGV[1] and redis.call('HGET', parts_key(upload), ARGV[1]) }
