#!lua flags=no-writes
-- ship: an upload and one of its parts, if that still is to be shipped. Asked for every job: it stands alone, without what
-- the scripts on uploads share.
-- KEYS    1 epoch, 2 upload
-- ARGV    1 offset
-- RETURNS {upload, part} | nothing

local known = redis.call('HMGET', KEYS[2], 'state', 'generation')
if known[1] ~= 'receiving' and known[1] ~= 'shipping' then return false end
local part = redis.call('HGET', KEYS[2] .. ':parts', ARGV[1])
if not part then return false end
-- After the digest: its size, and then the generation in which it was shipped.
local generation = string.match(string.sub(part, 33), '^%d+ (%d+)')
if generation and known[2] and generation == known[2] then return false end
return { redis.call('HGETALL', KEYS[2]), part }
