#!lua flags=allow-oom
-- confirm: removes entries that were sent, where they still have the same due time.
-- KEYS    1 epoch, 2 outbox
-- ARGV    job and due time of each entry, at most 500
-- RETURNS how many were removed

local count = 0
for i = 1, #ARGV, 2 do
  local due = redis.call('ZSCORE', KEYS[2], ARGV[i])
  if due and tonumber(due) == tonumber(ARGV[i + 1]) then count = count + redis.call('ZREM', KEYS[2], ARGV[i]) end
end
return count
