#!lua flags=allow-oom
-- shipped: records that a part is on the target; the last one after complete records the merge job.
-- KEYS    1 epoch, 2 upload
-- ARGV    1 epoch, 2 offset, 3 generation, 4 verification
-- RETURNS {'applied', upload, entries} | {'refused', 'generation', current or empty} | {'refused', 'part'}
--         | {'refused', 'state', state} | {'unknown'}

local strength = { size = 0, readback = 1, digest = 2 }
local offset, generation, verification = ARGV[2], ARGV[3], ARGV[4]
local upload = named()
if not upload then return { 'unknown' } end
local fields = upload.fields
if fields.generation ~= generation then return refused('generation', fields.generation or '') end
local part = load_part(upload, offset)
if part and is_shipped(upload, part) then return applied(upload) end
if not shippable[fields.state] then return refused_state(upload) end
if not part then return refused('part') end

part.generation, part.attempts, part.round = generation, '0', '0'
save_part(upload, offset, part)
add(upload, 'shippedBytes', tonumber(part.size))
add(upload, 'shippedParts', 1)
count_moved('shipped', part.size)
if not fields.verification or strength[verification] < strength[fields.verification] then
  set(upload, 'verification', verification)
end
touch(upload)
return applied(upload, merge_if_shipped(upload))
