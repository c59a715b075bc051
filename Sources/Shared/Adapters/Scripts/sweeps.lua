#!lua flags=no-writes
-- sweeps: ended uploads whose directory on the target is to be looked at again, because a worker that was away when
-- they ended may have made a part file since.
-- KEYS    1 epoch, 2 sweeps of a target
-- ARGV    1 epoch, 2 most uploads
-- RETURNS {identifier, …}

return redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', digits(now), 'LIMIT', 0, ARGV[2])
