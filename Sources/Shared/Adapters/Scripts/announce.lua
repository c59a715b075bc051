#!lua flags=allow-oom
-- announce: tells that somebody is there, for a time; forgets those whose time is over.
-- KEYS    1 epoch, 2 roll (hash of name to expiry, time and text)
-- ARGV    1 name, 2 lifetime in microseconds, 3 text
-- RETURNS nothing

redis.call('HSET', KEYS[2], ARGV[1], digits(now + tonumber(ARGV[2])) .. ' ' .. digits(now) .. ' ' .. ARGV[3])
local roll = redis.call('HGETALL', KEYS[2])
for i = 1, #roll, 2 do
  local expiry = tonumber(string.match(roll[i + 1], '^%d+'))
  if not expiry or expiry <= now then redis.call('HDEL', KEYS[2], roll[i]) end
end
return false
