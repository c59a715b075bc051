#!lua flags=no-writes
-- knows: whether an upload is in the index, asked of an index that is staging's.
-- KEYS    1 epoch, 2 upload
-- ARGV    1 epoch
-- RETURNS 1 or 0

return redis.call('EXISTS', KEYS[2])
