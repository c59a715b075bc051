#!lua flags=allow-oom
-- list: a page of uploads, newest first; looks at no more than 500.
-- KEYS    1 epoch, 2 set of names
-- ARGV    1 score and 2 identifier of the last one seen (empty to begin), 3 limit, 4 state, 5 target, 6 owner (each
--         empty for any), 7 reason of the last error (empty for any)
-- RETURNS {score and identifier of the last one seen (empty at the end), uploads}

local bound = 500
local start = 0
if ARGV[2] ~= '' then
  -- By rank, because many may have the same score; by score alone where the name has been forgotten meanwhile.
  local rank = redis.call('ZREVRANK', KEYS[2], ARGV[2])
  start = rank and rank + 1 or redis.call('ZCOUNT', KEYS[2], '(' .. ARGV[1], '+inf')
end
local names = redis.call('ZREVRANGE', KEYS[2], start, start + bound - 1, 'WITHSCORES')
local found, score, last = {}, '', ''
for i = 1, #names, 2 do
  if #found == tonumber(ARGV[3]) then return { score, last, found } end
  local id = names[i]
  local isSeen = ARGV[2] ~= '' and names[i + 1] == ARGV[1] and id >= ARGV[2]
  score, last = names[i + 1], id
  if not isSeen then
    local key = prefix .. 'u:' .. id
    local some = redis.call('HMGET', key, 'state', 'target', 'owner', 'reason')
    if not some[1] then
      redis.call('ZREM', KEYS[2], id)
    elseif (ARGV[4] == '' or ARGV[4] == some[1]) and (ARGV[5] == '' or ARGV[5] == some[2])
      and (ARGV[6] == '' or ARGV[6] == some[3]) and (ARGV[7] == '' or ARGV[7] == some[4]) then
      found[#found + 1] = redis.call('HGETALL', key)
    end
  end
end
if #names < bound * 2 then return { '', '', found } end
return { score, last, found }
