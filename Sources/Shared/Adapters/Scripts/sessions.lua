#!lua flags=no-writes
-- sessions: how many sessions all workers together have at each target now.
-- KEYS    1 epoch, then seats (`process#session`, scored with their ends in milliseconds)
-- ARGV    none
-- RETURNS {sessions at each target, …}

local counts = {}
for i = 2, #KEYS do counts[#counts + 1] = redis.call('ZCOUNT', KEYS[i], '(' .. digits(math.floor(now / 1000)), '+inf') end
return counts
