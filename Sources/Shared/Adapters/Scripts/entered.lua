#!lua flags=allow-oom
-- entered: what became of a connection that enter allowed.
-- KEYS    1 seats, 2 handshakes, 3 breaker
-- ARGV    1 process, 2 session, 3 'opened', 'failed' or 'left' (no session, and nothing said against the target),
--         4 failures in a row that open the breaker, 5 milliseconds it is open for, 6 at most, 7 cause
-- RETURNS nothing

local clock = redis.call('TIME')
local now = tonumber(clock[1]) * 1000 + math.floor(tonumber(clock[2]) / 1000)
local process, seat = ARGV[1], ARGV[1] .. '#' .. ARGV[2]
local outcome = ARGV[3]

local was_login = redis.call('ZREM', KEYS[2], seat) == 1
if outcome == 'opened' then
  redis.call('DEL', KEYS[3])
  return false
end
redis.call('ZREM', KEYS[1], seat)
if outcome == 'left' then
  -- The end of a session that was open says nothing about a trial that is somebody's.
  if was_login then redis.call('HDEL', KEYS[3], 'trial') end
  return false
end
-- While another process has a session, what fails is this process's way to the target.
for _, member in ipairs(redis.call('ZRANGE', KEYS[1], '(' .. now, '+inf', 'BYSCORE')) do
  if string.match(member, '^(.*)#') ~= process and not redis.call('ZSCORE', KEYS[2], member) then return false end
end
local open_until = tonumber(redis.call('HGET', KEYS[3], 'until') or 0)
-- One that began before it opened says nothing new.
if now < open_until then return false end
local failures = redis.call('HINCRBY', KEYS[3], 'failures', 1)
if open_until > 0 or failures >= tonumber(ARGV[4]) then
  local openings = redis.call('HINCRBY', KEYS[3], 'openings', 1)
  local pause = math.min(tonumber(ARGV[5]) * 2 ^ math.min(openings - 1, 16), tonumber(ARGV[6]))
  redis.call('HSET', KEYS[3], 'until', now + pause, 'cause', ARGV[7])
  redis.call('HDEL', KEYS[3], 'trial')
end
redis.call('PEXPIRE', KEYS[3], 600000)
return false
