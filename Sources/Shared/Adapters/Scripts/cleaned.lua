#!lua flags=allow-oom
-- cleaned: records that nothing is left of an ended upload but its history, which is kept for a while.
-- KEYS    1 epoch, 2 upload
-- ARGV    1 epoch, 2 seconds that the history is kept
-- RETURNS nothing

local upload = named()
if not upload or not ended[upload.fields.state] then return false end
local path = prefix .. 'path:' .. upload.fields.target .. ':' .. upload.fields.pathHash
if redis.call('GET', path) == upload.id then redis.call('DEL', path) end
redis.call('UNLINK', parts_key(upload), upload.key .. ':offsets', lease_key(upload))
redis.call('ZREM', outbox(upload), 'clean:' .. upload.id, 'merge:' .. upload.id)
if not upload.fields.cleanedAt then
  set(upload, 'cleanedAt', now)
  save(upload)
  redis.call('EXPIRE', upload.key, ARGV[2])
end
return false
