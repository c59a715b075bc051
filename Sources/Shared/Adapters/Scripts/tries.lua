#!lua flags=allow-oom
-- tries: notes that a worker begins a job that may have been begun before; answers who began it and did not end it.
-- KEYS    1 epoch, 2 upload
-- ARGV    1 epoch, 2 job, 3 worker
-- RETURNS {worker, …}, this one left out

local key = KEYS[2] .. ':tries'
local others = {}
local length = string.len(ARGV[2]) + 1
for _, try in ipairs(redis.call('SMEMBERS', key)) do
  if string.sub(try, 1, length) == ARGV[2] .. ' ' then
    local worker = string.sub(try, length + 1)
    if worker ~= ARGV[3] then others[#others + 1] = worker end
  end
end
redis.call('SADD', key, ARGV[2] .. ' ' .. ARGV[3])
redis.call('EXPIRE', key, 86400)
return others
