#!lua flags=no-writes
-- due: entries of an outbox that are due, oldest first.
-- KEYS    1 epoch, 2 outbox
-- ARGV    1 epoch, 2 most entries
-- RETURNS {job, due, job, due, …}

return redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', digits(now), 'WITHSCORES', 'LIMIT', 0, ARGV[2])
