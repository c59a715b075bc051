#!lua flags=allow-oom
-- swept: an ended upload was looked at; the next look is later, after the last there is none.
-- KEYS    1 epoch, 2 upload, 3 sweeps of its target
-- ARGV    1 epoch
-- RETURNS nothing

local upload = named()
local id = named_id()
local pause = upload and sweep_pauses[number(upload, 'sweeps') + 1]
if not pause then
  redis.call('ZREM', KEYS[3], id)
else
  add(upload, 'sweeps', 1)
  save(upload)
  redis.call('ZADD', KEYS[3], digits(now + pause), id)
end
return false
