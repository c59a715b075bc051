#!lua flags=allow-oom
-- revive: records a merge job of an upload that has not moved for a while and that nobody works on; it brings the ship
-- jobs back too, where parts are missing on the target. One that has ended and is not cleaned up gets a clean job. A
-- job that is recorded already stays as it is.
-- KEYS    1 epoch, 2 upload
-- ARGV    1 epoch, 2 microseconds without a move
-- RETURNS {'applied', upload, entries} | {'refused', 'state', state} | {'unknown'}

local upload = named()
if not upload then return { 'unknown' } end
local fields = upload.fields
local hasEnded = ended[fields.state]
if not active[fields.state] and (not hasEnded or fields.cleanedAt) then return refused_state(upload) end
local isWaiting = fields.state == 'receiving' and fields.receivedParts == fields.shippedParts
local isMoving = math.max(number(upload, 'updatedAt'), number(upload, 'quietUntil')) + tonumber(ARGV[2]) > now
if isWaiting or isMoving or redis.call('EXISTS', lease_key(upload)) == 1 then return applied(upload) end
local job = (hasEnded and 'clean:' or 'merge:') .. upload.id
if redis.call('ZADD', outbox(upload), 'NX', digits(now + grace), job) == 0 then return applied(upload) end
touch(upload)
return applied(upload, { { job, digits(now + grace) } })
