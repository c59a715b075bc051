#!lua flags=no-writes
-- backlog: how many dead letters there are, and how many jobs wait in each outbox.
-- KEYS    1 epoch, 2 dead letters, then outboxes
-- ARGV    none
-- RETURNS {dead letters, jobs in each outbox, …}

local counts = {}
for i = 2, #KEYS do counts[#counts + 1] = redis.call('ZCARD', KEYS[i]) end
return counts
