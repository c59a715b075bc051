#!lua flags=allow-oom
-- adopt: declares the index to be staging's, as the running server has it.
-- KEYS    1 epoch
-- ARGV    1 identifier
-- RETURNS nothing

redis.call('HSET', KEYS[1], 'id', ARGV[1], 'run_id', string.match(redis.call('INFO', 'server'), 'run_id:(%x+)'))
return false
