#!lua flags=allow-oom
-- tried: notes that a worker has ended a job, however; nobody who began it before died of it then.
-- KEYS    1 epoch, 2 upload
-- ARGV    1 epoch, 2 job
-- RETURNS nothing

local key = KEYS[2] .. ':tries'
for _, try in ipairs(redis.call('SMEMBERS', key)) do
  if string.sub(try, 1, string.len(ARGV[2]) + 1) == ARGV[2] .. ' ' then redis.call('SREM', key, try) end
end
return false
