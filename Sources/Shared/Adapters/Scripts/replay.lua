#!lua flags=allow-oom
-- replay: sends a failed upload on its way again, where UploadState.resumed says in Core.
-- KEYS    1 epoch, 2 upload
-- ARGV    1 epoch, 2 by whom, 3 what to do with a file that is there ('never', 'replace', or empty: as before),
--         4 microseconds from now until its job is due (0: at once)
-- RETURNS {'applied', upload, entries} | {'refused', 'part'} | {'refused', 'state', state} | {'unknown'}

local upload = named()
if not upload then return { 'unknown' } end
local fields = upload.fields
if not transitions.replay[fields.state] then return refused_state(upload) end
-- Upload.beginsAnew in Core: it is built anew, from an empty part file.
local strategy = fields.strategy or 'in-place'
if begins_anew[fields.reason]
  or fields.reason == 'target-failed' and strategy ~= 'in-place' and not fields.finalSize
  or fields.reason == 'target-exists' and strategy == 'stream' then
  local built = { 'generation', 'strategy', 'finalSize', 'finalDigest', 'finalModified', 'sealedBy', 'verification' }
  for _, field in ipairs(built) do set(upload, field, nil) end
  set(upload, 'shippedBytes', '0')
  set(upload, 'shippedParts', '0')
end
local state
if fields.finalSize then
  state = 'committing'
elseif fields.complete ~= '1' then
  state = 'receiving'
elseif not is_whole(upload) then
  -- A damaged part was struck: only receiving it again brings the upload back.
  return refused('part')
else
  state = is_all_shipped(upload) and 'merging' or 'shipping'
end
if ARGV[3] ~= '' then set(upload, 'overwrite', ARGV[3]) end
move(upload, state)
set(upload, 'fromState', nil)
explain(upload, nil, nil)
set(upload, 'attempts', '0')
set(upload, 'restarts', nil)
-- What parts' jobs have failed before counts no more.
add(upload, 'round', 1)
note(upload, 'replayed', ARGV[2])
-- Where parts are to be shipped, the merge job records their jobs. What is to wait is left to the relay.
local delay = tonumber(ARGV[4])
local entry = record(upload, 'merge:' .. upload.id, now + (delay > 0 and delay or grace))
return applied(upload, delay > 0 and {} or { entry })
