#!lua flags=allow-oom
-- strike: takes out a part whose staged bytes are damaged: missing again before complete, failed after it.
-- KEYS    1 epoch, 2 upload
-- ARGV    1 epoch, 2 offset, 3 size, 4 digest (32 bytes), 5 failure's reason, 6 failure's detail, 7 by whom
-- RETURNS {'applied', upload, {}} | {'refused', 'part'} | {'refused', 'state', state} | {'unknown'}

local upload = named()
if not upload then return { 'unknown' } end
local fields = upload.fields
if fields.state == 'committing' or ended[fields.state] then return refused_state(upload) end
local part = load_part(upload, ARGV[2])
if not part or part.size ~= ARGV[3] or part.digest ~= ARGV[4] then return refused('part') end
remove_part(upload, ARGV[2], part)
touch(upload)
local job = 'ship:' .. upload.id .. ':' .. ARGV[2]
if fields.complete == '1' then
  fail(upload, ARGV[5], ARGV[6], job, 0, ARGV[7])
else
  note(upload, 'damaged', ARGV[7], { job = job, attempt = '0', reason = ARGV[5], detail = ARGV[6] })
end
return applied(upload)
