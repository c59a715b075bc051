#!lua flags=allow-oom
-- postpone: moves entries that the broker did not take to later, where they still have the same due time.
-- KEYS    1 epoch, 2 outbox
-- ARGV    1 epoch, 2 microseconds from now, then job and due time of each entry, at most 500
-- RETURNS how many were moved

local count = 0
for i = 3, #ARGV, 2 do
  local due = redis.call('ZSCORE', KEYS[2], ARGV[i])
  if due and tonumber(due) == tonumber(ARGV[i + 1]) then
    redis.call('ZADD', KEYS[2], 'XX', digits(now + tonumber(ARGV[2])), ARGV[i])
    count = count + 1
  end
end
return count
