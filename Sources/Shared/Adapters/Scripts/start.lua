#!lua flags=allow-oom
-- start: makes a prepared generation the current one, if the previous one still is.
-- KEYS    1 epoch, 2 upload
-- ARGV    1 epoch, 2 generation, 3 previous generation (empty for none), 4 how it is built on the target
-- RETURNS {'applied', upload, entries} | {'refused', 'generation', current or empty} | {'refused', 'state', state}
--         | {'unknown'}

local generation, previous = ARGV[2], ARGV[3]
local upload = named()
if not upload then return { 'unknown' } end
local fields = upload.fields
local current = fields.generation or ''
local state = transitions.restart[fields.state]
if not state then return refused_state(upload) end
if current == generation then return applied(upload) end
if current ~= previous or (current ~= '' and tonumber(current) > tonumber(generation)) then
  return refused('generation', current)
end
set(upload, 'generation', generation)
set(upload, 'strategy', ARGV[4])
set(upload, 'shippedBytes', '0')
set(upload, 'shippedParts', '0')
set(upload, 'verification', nil)
touch(upload)
-- An empty file has nothing to ship: its merge goes on, or begins again.
if fields.state == 'merging' then
  local has_parts = fields.receivedParts ~= '0'
  if has_parts then move(upload, state) end
  if has_parts or previous ~= '' then revoke(upload) end
end
if previous ~= '' then
  note(upload, 'restarted')
  add(upload, 'restarts', 1)
end
-- Brings the restart to its end if its worker dies before the ship jobs are recorded.
if previous == '' then return applied(upload) end
return applied(upload, { record_merge(upload) })
