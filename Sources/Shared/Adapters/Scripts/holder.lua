#!lua flags=no-writes
-- holder: the upload that holds a path.
-- KEYS    1 epoch, 2 path lock
-- ARGV    none
-- RETURNS upload | nothing

local id = redis.call('GET', KEYS[2])
local upload = id and load(id)
return upload and flat(upload)
