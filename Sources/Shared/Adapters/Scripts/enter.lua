#!lua flags=allow-oom
-- enter: may this process open one more session to a target now? A yes takes a seat, and one of the few handshakes.
-- KEYS    1 seats, 2 handshakes, 3 breaker, 4 waiting
-- ARGV    1 process, 2 session, 3 most sessions of all (0: no bound), 4 milliseconds that a seat is held for,
--         5 most handshakes of all, 6 milliseconds that a handshake may take
-- RETURNS {answer, milliseconds until it is worth asking again, cause}
--         'go'; 'full': no seat; 'busy': too many handshakes; 'open': the target is left alone
--
-- A seat is `process#session`, scored with its end. Who waits is a process without a seat.

local clock = redis.call('TIME')
local now = tonumber(clock[1]) * 1000 + math.floor(tonumber(clock[2]) / 1000)
local process, seat = ARGV[1], ARGV[1] .. '#' .. ARGV[2]
local limit, lasting = tonumber(ARGV[3]), tonumber(ARGV[4])
local handshakes, patience = tonumber(ARGV[5]), tonumber(ARGV[6])

for i = 1, 4 do
  if i ~= 3 then redis.call('ZREMRANGEBYSCORE', KEYS[i], '-inf', now) end
end

local breaker = redis.call('HMGET', KEYS[3], 'until', 'trial', 'cause')
local open_until, trial_until = tonumber(breaker[1] or 0), tonumber(breaker[2] or 0)
if now < open_until then return { 'open', open_until - now, breaker[3] or '' } end
-- Past that time one connection is tried; its outcome decides for all.
if open_until > 0 and now < trial_until then return { 'open', 1000, breaker[3] or '' } end

if limit > 0 and not redis.call('ZSCORE', KEYS[1], seat) and redis.call('ZCARD', KEYS[1]) >= limit then
  local has_one = false
  for _, member in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do
    if string.match(member, '^(.*)#') == process then has_one = true end
  end
  if not has_one then
    redis.call('ZADD', KEYS[4], now + 10000, process)
    redis.call('PEXPIRE', KEYS[4], 60000)
  end
  return { 'full', 1000, '' }
end
if redis.call('ZCARD', KEYS[2]) >= handshakes then return { 'busy', 100, '' } end

if open_until > 0 then redis.call('HSET', KEYS[3], 'trial', now + patience) end
redis.call('ZADD', KEYS[1], now + math.max(lasting, patience), seat)
redis.call('PEXPIRE', KEYS[1], 600000)
redis.call('ZADD', KEYS[2], now + patience, seat)
redis.call('PEXPIRE', KEYS[2], 600000)
redis.call('ZREM', KEYS[4], process)
return { 'go', 0, '' }
