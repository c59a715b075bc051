#!lua flags=no-writes
-- history: what happened to an upload, oldest first.
-- KEYS    1 epoch, 2 upload
-- ARGV    none
-- RETURNS {entry as JSON, …}

return redis.call('LRANGE', KEYS[2] .. ':history', 0, -1)
