#!lua flags=allow-oom
-- stay: holds this process's seats for longer, and says how many it should have.
-- KEYS    1 seats, 2 handshakes, 3 breaker, 4 waiting
-- ARGV    1 process, 2 most sessions of all (0: no bound), 3 milliseconds that a seat is held for, 4… sessions
-- RETURNS {how many sessions this process should have at most (0: no bound), session that has lost its seat, …}

local clock = redis.call('TIME')
local now = tonumber(clock[1]) * 1000 + math.floor(tonumber(clock[2]) / 1000)
local process, limit, lasting = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])

redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
redis.call('ZREMRANGEBYSCORE', KEYS[4], '-inf', now)
local answer = { limit }
for i = 4, #ARGV do
  local seat = process .. '#' .. ARGV[i]
  -- Lost where this process was away for too long, and somebody else has it now.
  if redis.call('ZSCORE', KEYS[1], seat) or limit == 0 or redis.call('ZCARD', KEYS[1]) < limit then
    redis.call('ZADD', KEYS[1], 'GT', now + lasting, seat)
  else
    answer[#answer + 1] = ARGV[i]
  end
end
redis.call('PEXPIRE', KEYS[1], 600000)

-- While somebody waits for a first seat, everybody has an equal share.
local waiting = redis.call('ZRANGE', KEYS[4], 0, -1)
if limit > 0 and #waiting > 0 then
  local processes, count = {}, 0
  local function seen(name)
    if not processes[name] then
      processes[name] = true
      count = count + 1
    end
  end
  for _, member in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do seen(string.match(member, '^(.*)#')) end
  for _, name in ipairs(waiting) do seen(name) end
  answer[1] = math.max(1, math.floor(limit / count))
end
return answer
