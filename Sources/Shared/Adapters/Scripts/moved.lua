#!lua flags=no-writes
-- moved: the bytes that were received and shipped in each of the last 60 minutes, this one included, oldest first.
-- KEYS    1 epoch, 2 moved (hash of kind and minute modulo 64 to minute and bytes)
-- ARGV    none
-- RETURNS {first minute since 1970, received, shipped, received, shipped, …}

local minute = math.floor(now / 60000000)
local answer = { digits(minute - 59) }
for at = minute - 59, minute do
  for _, kind in ipairs({ 'received', 'shipped' }) do
    local value = redis.call('HGET', KEYS[2], kind .. ':' .. digits(at % 64)) or ''
    local found, bytes = string.match(value, '^(%d+) (%d+)$')
    answer[#answer + 1] = found == digits(at) and bytes or '0'
  end
end
return answer
