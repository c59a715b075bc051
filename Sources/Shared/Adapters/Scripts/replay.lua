#!lua flags=allow-oom
-- replay: sends a failed upload on its way again, where UploadState.resumed says in Core.
-- KEYS    1 epoch, 2 upload
-- ARGV    1 epoch, 2 what to do with a file that is there ('never', 'replace', or empty: as before)
-- RETURNS {'applied', upload, entries} | {'refused', 'part'} | {'refused', 'state', state} | {'unknown'}

local upload = named()
if not upload then return { 'unknown' } end
local fields = upload.fields
if not transitions.replay[fields.state] then return refused_state(upload) end
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
if ARGV[2] ~= '' then set(upload, 'overwrite', ARGV[2]) end
move(upload, state)
set(upload, 'fromState', nil)
explain(upload, nil, nil)
set(upload, 'attempts', '0')
-- What parts' jobs have failed before counts no more.
add(upload, 'round', 1)
-- Where parts are to be shipped, the merge job records their jobs.
return applied(upload, { record_merge(upload) })
