#!lua flags=allow-oom
-- restore_finish: once all parts are back, lets the endings count that staging has; never takes one back.
-- KEYS    1 epoch, 2 upload
-- ARGV    1 ending ('', 'done', 'cancelled' or 'expired'), 2 its time, 3 whether complete counts ('1' or '0'), 4 size,
--         5 digest (64 hexadecimal digits, or empty), 6 final size, 7 final digest (or empty), 8 final modified
-- RETURNS {'applied', upload, entries} | {'unknown'}

local upload = named()
if not upload then return { 'unknown' } end
local fields = upload.fields
if ARGV[3] == '1' and not ended[fields.state] and fields.receivedBytes == ARGV[4] then
  set(upload, 'size', ARGV[4])
  if ARGV[5] ~= '' then set(upload, 'digest', ARGV[5]) end
  if fields.complete ~= '1' then
    set(upload, 'complete', '1')
    local state = transitions.complete[fields.state]
    if state then
      move(upload, state)
      merge_if_shipped(upload)
    end
  end
end

-- A rename that is known to have happened outdoes everything; any other ending, only what can still be given up.
if ARGV[1] == 'done' and not ended[fields.state] then
  set(upload, 'finalSize', ARGV[6])
  set(upload, 'finalDigest', ARGV[7] ~= '' and ARGV[7] or nil)
  set(upload, 'finalModified', ARGV[8])
  if not fields.size then set(upload, 'size', ARGV[6]) end
  explain(upload, nil, nil)
  finish(upload, 'done', tonumber(ARGV[2]))
elseif ARGV[1] ~= '' and ARGV[1] ~= 'done' and transitions.cancel[fields.state] then
  finish(upload, ARGV[1], tonumber(ARGV[2]))
end

-- Where the job that must follow is not in the outbox, it may be nowhere.
local job
if ended[fields.state] then
  job = 'clean:' .. upload.id
elseif fields.state == 'merging' or fields.state == 'committing' then
  job = 'merge:' .. upload.id
elseif shippable[fields.state] and fields.receivedParts ~= fields.shippedParts then
  -- A merge job that finds unshipped parts records their jobs.
  job = 'merge:' .. upload.id
end
if not job then return applied(upload) end
-- While a claim lasts, its safety job stays: sent now, it would find the claim and be gone when that has run out.
local left = redis.call('PTTL', lease_key(upload))
if left >= 0 then
  redis.call('ZADD', outbox(upload), 'NX', digits(now + left * 1000 + 1000000), job)
  return applied(upload)
end
redis.call('ZADD', outbox(upload), 'NX', digits(now + grace), job)
return applied(upload, { { job, redis.call('ZSCORE', outbox(upload), job) } })
