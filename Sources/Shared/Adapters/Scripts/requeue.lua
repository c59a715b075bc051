#!lua
-- requeue: records ship jobs of parts that are received and not shipped; looks at no more than 500 offsets.
-- KEYS    1 epoch, 2 upload
-- ARGV    1 first offset, 2 most jobs
-- RETURNS {target, entries, next offset or empty at the end}

local bound = 500
local limit = tonumber(ARGV[2])
local upload = named()
if not upload or not shippable[upload.fields.state] then return { '', {}, '' } end

local offsets, rest = {}, ''
if upload.fields.protocol == 'append' then
  offsets = redis.call('ZRANGEBYSCORE', upload.key .. ':offsets', ARGV[1], '+inf', 'LIMIT', 0, bound + 1)
  if #offsets > bound then rest = table.remove(offsets) end
else
  -- Part n of the native protocol begins at (n - 1) * partSize.
  local step, last = number(upload, 'partSize'), number(upload, 'receivedEnd')
  local offset = math.ceil(tonumber(ARGV[1]) / step) * step
  while offset < last and #offsets < bound do
    offsets[#offsets + 1] = digits(offset)
    offset = offset + step
  end
  if offset < last then rest = digits(offset) end
end
if #offsets == 0 then return { '', {}, '' } end

local jobs, pairs_to_add = {}, {}
for i, value in ipairs(redis.call('HMGET', parts_key(upload), unpack(offsets))) do
  local part = value and read_part(value)
  if part and not is_shipped(upload, part) then
    if #jobs == limit then
      rest = offsets[i]
      break
    end
    local job = 'ship:' .. upload.id .. ':' .. offsets[i]
    jobs[#jobs + 1] = job
    pairs_to_add[#pairs_to_add + 1] = digits(now + grace)
    pairs_to_add[#pairs_to_add + 1] = job
  end
end
if #jobs == 0 then return { '', {}, rest } end
-- An entry that is due sooner stays as it is.
redis.call('ZADD', outbox(upload), 'LT', unpack(pairs_to_add))
local entries = {}
for i, due in ipairs(redis.call('ZMSCORE', outbox(upload), unpack(jobs))) do
  entries[i] = { jobs[i], due }
end
return { upload.fields.target, entries, rest }
