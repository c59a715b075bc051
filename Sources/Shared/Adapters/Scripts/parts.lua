#!lua flags=no-writes
-- parts: a page of an upload's parts, in no order; one may come twice.
-- KEYS    1 epoch, 2 parts
-- ARGV    1 cursor (0 to begin), 2 about how many
-- RETURNS {cursor (0 at the end), {offset, part, …}}

return redis.call('HSCAN', KEYS[2], ARGV[1], 'COUNT', ARGV[2])
