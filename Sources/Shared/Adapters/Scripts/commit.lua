#!lua flags=allow-oom
-- commit: records what the final file will be; from here nothing can be cancelled.
-- KEYS    1 epoch, 2 upload
-- ARGV    1 epoch, 2 fence, 3 generation, 4 size, 5 digest (64 hexadecimal digits, or empty), 6 modified (seconds),
--         7 the proof of what was put together on the target (empty: that of the parts stays)
-- RETURNS {'applied', upload, {}} | {'refused', 'fence'} | {'refused', 'generation', current or empty}
--         | {'refused', 'state', state} | {'unknown'}

local upload = named()
if not upload then return { 'unknown' } end
local state = transitions.beginCommit[upload.fields.state]
if not state then return refused_state(upload) end
if not holds(upload, ARGV[2]) then return refused('fence') end
if carries(upload) then
  -- The claim has built a generation of its own: it is the current one from here.
  local part = load_part(upload, '0')
  if not part then return refused('generation', '') end
  part.generation, part.attempts, part.round = ARGV[3], '0', '0'
  save_part(upload, '0', part)
  set(upload, 'generation', ARGV[3])
  set(upload, 'strategy', 'in-place')
  set(upload, 'shippedBytes', upload.fields.receivedBytes)
  set(upload, 'shippedParts', upload.fields.receivedParts)
  count_moved('shipped', part.size)
end
if upload.fields.generation ~= ARGV[3] then return refused('generation', upload.fields.generation or '') end
if upload.fields.state ~= state then note(upload, 'committing', upload.fields.holder) end
move(upload, state)
set(upload, 'finalSize', ARGV[4])
set(upload, 'finalDigest', ARGV[5] ~= '' and ARGV[5] or nil)
set(upload, 'finalModified', ARGV[6])
set(upload, 'sealedBy', ARGV[2])
if ARGV[7] ~= '' then set(upload, 'verification', ARGV[7]) end
return applied(upload)
