#!lua flags=allow-oom
-- cleaned: records that nothing is left of an ended upload but its history, which is kept for a while.
-- KEYS    1 epoch, 2 upload
-- ARGV    1 epoch, 2 seconds that the history is kept
-- RETURNS nothing

local upload = named()
if not upload or not ended[upload.fields.state] then return false end
local path = prefix .. 'path:' .. upload.fields.target .. ':' .. upload.fields.pathHash
if redis.call('GET', path) == upload.id then redis.call('DEL', path) end
redis.call('UNLINK', parts_key(upload), upload.key .. ':offsets', upload.key .. ':tries', lease_key(upload))
redis.call('ZREM', prefix .. 'active', upload.id)
redis.call('ZREM', outbox(upload), 'clean:' .. upload.id, 'merge:' .. upload.id)
if not upload.fields.cleanedAt then
  set(upload, 'cleanedAt', now)
  -- A worker that was away meanwhile may still make a part file, unless the one that was begun became the final file. Where
  -- parts lie apart or travel in the merge, late ones may still come.
  local preparations = number(upload, 'preparations')
  local isAlone = upload.fields.state == 'done' and (upload.fields.strategy or 'in-place') == 'in-place'
    and upload.fields.atomic ~= '0'
  if preparations > 1 or preparations == 1 and not isAlone then
    set(upload, 'sweeps', 1)
    redis.call('ZADD', prefix .. 'sweeps:' .. upload.fields.target, digits(now + sweep_pauses[1]), upload.id)
  end
  save(upload)
  redis.call('EXPIRE', upload.key, ARGV[2])
  redis.call('EXPIRE', history_key(upload), ARGV[2])
end
return false
