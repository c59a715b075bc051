#!lua flags=no-writes
-- condition: the index's identity, and that of the running server.
-- KEYS    1 epoch
-- ARGV    none
-- RETURNS {identifier or nothing, run_id when it was adopted or nothing, run_id now}

local known = redis.call('HMGET', KEYS[1], 'id', 'run_id')
return { known[1], known[2], string.match(redis.call('INFO', 'server'), 'run_id:(%x+)') }
