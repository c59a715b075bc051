#!lua flags=allow-oom
-- retry: counts a failed attempt and records the job for later, or fails the upload when its attempts are spent.
-- KEYS    1 epoch, 2 upload
-- ARGV    1 epoch, 2 kind of job, 3 offset (empty but for a ship job), 4 how often it had failed, 5 fence (or empty),
--         6 how often it may fail (empty: this one is not counted), 7 delay in microseconds, 8 reason, 9 detail,
--         10 by whom
-- RETURNS {'scheduled', upload, due} | {'exhausted', upload} | {'stale'}

local kind, offset, attempt, fence = ARGV[2], ARGV[3], tonumber(ARGV[4]), ARGV[5]
local limit = tonumber(ARGV[6])
local upload = named()
if not upload then return { 'stale' } end
local fields = upload.fields
local part, job
if kind == 'ship' then
  job = 'ship:' .. upload.id .. ':' .. offset
  part = shippable[fields.state] and load_part(upload, offset)
  if not part or is_shipped(upload, part) then return { 'stale' } end
  if part.round ~= (fields.round or '0') then part.attempts = '0' end
  if tonumber(part.attempts) ~= attempt then return { 'stale' } end
elseif kind == 'merge' then
  job = 'merge:' .. upload.id
  if fields.state ~= 'merging' and fields.state ~= 'committing' then return { 'stale' } end
  if fence ~= '' and not holds(upload, fence) then return { 'stale' } end
  if number(upload, 'attempts') ~= attempt then return { 'stale' } end
else
  job = 'clean:' .. upload.id
  if not ended[fields.state] or fields.cleanedAt or number(upload, 'cleanAttempts') ~= attempt then
    return { 'stale' }
  end
end
touch(upload)
if limit and kind ~= 'clean' and attempt >= limit then
  fail(upload, ARGV[8], ARGV[9], job, attempt, ARGV[10])
  save(upload)
  return { 'exhausted', flat(upload) }
end
if kind ~= 'clean' then
  explain(upload, ARGV[8], ARGV[9])
  note_first(upload, ARGV[8], ARGV[9])
end
-- While a target is away all jobs come again and again: noted once, or there would be room for nothing else.
if limit or not is_noted(upload, 'retried', ARGV[8]) then
  note(upload, 'retried', ARGV[10], { job = job, attempt = digits(attempt), reason = ARGV[8], detail = ARGV[9] })
end
if limit then
  if kind == 'ship' then
    part.attempts, part.round = digits(attempt + 1), fields.round or '0'
    save_part(upload, offset, part)
  else
    add(upload, kind == 'merge' and 'attempts' or 'cleanAttempts', 1)
  end
end
-- The claim ends with the attempt; a merge without a claim leaves that of another alone.
if kind == 'merge' and fence ~= '' then revoke(upload) end
local entry = record(upload, job, now + tonumber(ARGV[7]))
-- Until then nothing is expected to move.
if tonumber(entry[2]) > number(upload, 'quietUntil') then set(upload, 'quietUntil', entry[2]) end
save(upload)
return { 'scheduled', flat(upload), entry[2] }
