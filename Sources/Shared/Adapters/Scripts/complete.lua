#!lua flags=allow-oom
-- complete: fixes size and digest, and goes on to shipping, or to the merge where all is shipped. One that has failed
-- before its end was asked for stays failed, and goes on to the end once it is replayed.
-- KEYS    1 epoch, 2 upload
-- ARGV    1 epoch, 2 size, 3 digest (64 hexadecimal digits, or empty)
-- RETURNS {'applied', upload, entries} | {'refused', 'partsMissing' | 'contradicts', upload}
--         | {'refused', 'state', state} | {'unknown'}

local size, digest = ARGV[2], ARGV[3]
local upload = named()
if not upload then return { 'unknown' } end
local fields = upload.fields
local isFresh = fields.state == 'receiving' or fields.state == 'failed' and fields.complete ~= '1'
if not isFresh and (fields.complete ~= '1' or fields.state == 'cancelled' or fields.state == 'expired') then
  return refused_state(upload)
end
local differs = (fields.size and fields.size ~= size)
  or (digest ~= '' and fields.digest and fields.digest ~= digest)
  or (digest ~= '' and not fields.digest and not isFresh)
if differs then return refused('contradicts', flat(upload)) end
if not isFresh then return applied(upload) end
if fields.receivedBytes ~= size then return refused('partsMissing', flat(upload)) end

set(upload, 'size', size)
if digest ~= '' then set(upload, 'digest', digest) end
set(upload, 'complete', '1')
note(upload, 'completed', fields.owner)
local state = transitions.complete[fields.state]
if not state then
  touch(upload)
  return applied(upload)
end
move(upload, state)
return applied(upload, merge_if_shipped(upload))
