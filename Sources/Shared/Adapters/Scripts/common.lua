-- What the scripts on uploads share. It is put before each of them, after their first line.
-- KEYS    1 epoch; its name without 'epoch' is what all names begin with
-- ARGV    as the script says
-- RETURNS nothing
--
-- An upload travels as a flat list of its hash's fields and values, an outbox entry as its job and due time. Numbers
-- are written out as whole digits, because Lua would round large ones. Times are in microseconds since 1970.

local prefix = string.sub(KEYS[1], 1, -6)
local clock = redis.call('TIME')
local now = tonumber(clock[1]) * 1000000 + tonumber(clock[2])

-- How long the process that recorded an entry has to send it before the relay does.
local grace = 5000000

-- What UploadState.after says in Core; a test compares the two.
local transitions = {
  complete = { receiving = 'shipping' },
  allShipped = { shipping = 'merging' },
  restart = { receiving = 'receiving', shipping = 'shipping', merging = 'shipping' },
  beginCommit = { merging = 'committing', committing = 'committing' },
  finish = { committing = 'done' },
  fail = { receiving = 'failed', shipping = 'failed', merging = 'failed', committing = 'failed' },
  replay = { failed = 'shipping' },
  cancel = { receiving = 'cancelled', shipping = 'cancelled', merging = 'cancelled', failed = 'cancelled' },
  expire = { receiving = 'expired', failed = 'expired' },
}
-- After which times, in microseconds, the target is looked at again for leftovers of an upload that has ended.
local sweep_pauses = { 20000000, 40000000, 600000000, 3600000000 }
-- Failures after which a replay builds the file on the target anew.
local begins_anew = { ['target-corrupts'] = true, ['commit-unknown'] = true }
-- How often a job may take its worker down.
local poison_limit = 3
local active = { receiving = true, shipping = true, merging = true, committing = true }
local ended = { done = true, cancelled = true, expired = true }
local shippable = { receiving = true, shipping = true }

local function digits(number)
  return string.format('%.0f', number)
end

-- The upload of an identifier, or nil. Changes are made by set and written by save.
local function load(id)
  local key = prefix .. 'u:' .. id
  local list = redis.call('HGETALL', key)
  if #list == 0 then return nil end
  local fields = {}
  for i = 1, #list, 2 do fields[list[i]] = list[i + 1] end
  return { id = id, key = key, fields = fields, changed = {} }
end

-- The identifier, and the upload, that a script's second key names.
local function named_id()
  return string.sub(KEYS[2], #prefix + 3)
end

local function named()
  return load(named_id())
end

-- The key that keeps an upload from being created.
local function never_key(id)
  return prefix .. 'never:' .. id
end

local function number(upload, field)
  return tonumber(upload.fields[field] or '0')
end

-- Sets a field to a text or a number, or removes it.
local function set(upload, field, value)
  if type(value) == 'number' then value = digits(value) end
  upload.fields[field] = value
  upload.changed[field] = true
end

local function add(upload, field, amount)
  set(upload, field, number(upload, field) + amount)
end

local function save(upload)
  local written, removed = {}, {}
  for field in pairs(upload.changed) do
    local value = upload.fields[field]
    if value == nil then
      removed[#removed + 1] = field
    else
      written[#written + 1] = field
      written[#written + 1] = value
    end
  end
  if #written > 0 then redis.call('HSET', upload.key, unpack(written)) end
  if #removed > 0 then redis.call('HDEL', upload.key, unpack(removed)) end
  upload.changed = {}
end

local function flat(upload)
  local list = {}
  for field, value in pairs(upload.fields) do
    list[#list + 1] = field
    list[#list + 1] = value
  end
  return list
end

local function touch(upload)
  set(upload, 'updatedAt', now)
end

-- Replies.

local function applied(upload, entries)
  save(upload)
  return { 'applied', flat(upload), entries or {} }
end

local function refused(...)
  return { 'refused', ... }
end

local function refused_state(upload)
  return refused('state', upload.fields.state)
end

-- History: what happened to an upload, when, by whose doing, and with which error; the newest entries only.

local history_bound = 200

local function history_key(upload)
  return upload.key .. ':history'
end

-- Notes what happened. About a job: which, how often it had failed by then, and with what.
local function note(upload, kind, by, about)
  local entry = about or {}
  entry.at, entry.kind = digits(now), kind
  if by and by ~= '' then entry.by = by end
  redis.call('RPUSH', history_key(upload), cjson.encode(entry))
  redis.call('LTRIM', history_key(upload), -history_bound, -1)
end

-- Whether the newest entry is of this kind and for this reason.
local function is_noted(upload, kind, reason)
  local newest = redis.call('LINDEX', history_key(upload), -1)
  if not newest then return false end
  local entry = cjson.decode(newest)
  return entry.kind == kind and entry.reason == reason
end

-- Outbox.

local function outbox(upload)
  return prefix .. 'outbox:' .. upload.fields.target
end

-- Records a job in place of any earlier entry of it; answers the entry.
local function record(upload, job, due)
  redis.call('ZADD', outbox(upload), digits(due), job)
  return { job, digits(due) }
end

-- How many jobs may wait for one target before nothing new is taken for it.
local outbox_bound = 500000

-- Whether a target's outbox takes nothing new: what is recorded there must be sent before.
local function is_backed_up(target)
  return redis.call('ZCARD', prefix .. 'outbox:' .. target) >= outbox_bound
end

local function backed_up(target)
  return redis.error_reply('BACKLOG ' .. outbox_bound .. ' jobs wait for the target ' .. target)
end

local function record_merge(upload)
  return record(upload, 'merge:' .. upload.id, now + grace)
end

local function forget_merge(upload)
  redis.call('ZREM', outbox(upload), 'merge:' .. upload.id)
end

-- Parts. A part's value is the 32 bytes of its digest, then its size; then, once there is anything to say, the
-- generation in which it was shipped (0 for none); then, if its job has failed, how often and in which round.

local function parts_key(upload)
  return upload.key .. ':parts'
end

local function read_part(value)
  local size, generation, attempts, round = string.match(string.sub(value, 33), '^(%d+) ?(%d*) ?(%d*) ?(%d*)$')
  if not size then return nil end
  local part = { digest = string.sub(value, 1, 32), size = size }
  part.generation = generation ~= '' and generation or '0'
  part.attempts = attempts ~= '' and attempts or '0'
  part.round = round ~= '' and round or '0'
  return part
end

local function load_part(upload, offset)
  local value = redis.call('HGET', parts_key(upload), offset)
  return value and read_part(value)
end

local function save_part(upload, offset, part)
  local value = part.digest .. part.size
  if part.attempts ~= '0' then
    value = value .. ' ' .. part.generation .. ' ' .. part.attempts .. ' ' .. part.round
  elseif part.generation ~= '0' then
    value = value .. ' ' .. part.generation
  end
  redis.call('HSET', parts_key(upload), offset, value)
end

local function is_shipped(upload, part)
  return part.generation ~= '0' and part.generation == upload.fields.generation
end

-- Counts bytes that were received or shipped in this minute. A ring of 64 minutes, so that it never grows.
local function count_moved(kind, size)
  local minute = math.floor(now / 60000000)
  local key, slot = prefix .. 'moved', kind .. ':' .. digits(minute % 64)
  local at, bytes = string.match(redis.call('HGET', key, slot) or '', '^(%d+) (%d+)$')
  if at ~= digits(minute) then bytes = '0' end
  redis.call('HSET', key, slot, digits(minute) .. ' ' .. digits(tonumber(bytes) + tonumber(size)))
end

-- Puts a part into the index. Appended parts may begin anywhere, so their offsets are kept in order besides.
local function insert_part(upload, offset, size, digest)
  save_part(upload, offset, { digest = digest, size = size, generation = '0', attempts = '0', round = '0' })
  if upload.fields.protocol == 'append' then redis.call('ZADD', upload.key .. ':offsets', offset, offset) end
  add(upload, 'receivedBytes', tonumber(size))
  add(upload, 'receivedParts', 1)
  local last = tonumber(offset) + tonumber(size)
  if last > number(upload, 'receivedEnd') then set(upload, 'receivedEnd', last) end
end

local function remove_part(upload, offset, part)
  -- What comes in its place is taken as any other part is.
  set(upload, 'whole', nil)
  redis.call('HDEL', parts_key(upload), offset)
  if upload.fields.protocol == 'append' then redis.call('ZREM', upload.key .. ':offsets', offset) end
  add(upload, 'receivedBytes', -tonumber(part.size))
  add(upload, 'receivedParts', -1)
  if is_shipped(upload, part) then
    add(upload, 'shippedBytes', -tonumber(part.size))
    add(upload, 'shippedParts', -1)
  end
end

-- Whether the merge takes the only part of an upload to the target itself.
local function carries(upload)
  return upload.fields.whole and not upload.fields.generation
end

-- Whether all of a completed upload is in staging, and whether it is on the target too.
local function is_whole(upload)
  return upload.fields.complete == '1' and upload.fields.receivedBytes == upload.fields.size
end

local function is_all_shipped(upload)
  return is_whole(upload)
    and upload.fields.shippedParts == upload.fields.receivedParts
    and upload.fields.shippedBytes == upload.fields.size
    and (upload.fields.generation ~= nil or upload.fields.receivedParts == '0')
end

-- Leases.

local function lease_key(upload)
  return prefix .. 'lease:' .. upload.id
end

-- A claim is the holder's until another follows it or it was given up, even if its lease has run out.
local function holds(upload, fence)
  return upload.fields.fence == fence and upload.fields.releasedFence ~= fence
end

local function lease(upload, fence, holder, duration)
  local milliseconds = math.max(math.ceil(duration / 1000), 1)
  redis.call('SET', lease_key(upload), fence .. ' ' .. holder, 'PX', digits(milliseconds))
end

local function revoke(upload)
  if upload.fields.fence then set(upload, 'releasedFence', upload.fields.fence) end
  set(upload, 'lapses', nil)
  redis.call('DEL', lease_key(upload))
end

-- States.

local function move(upload, state)
  -- Whatever somebody still has something to do for: one that has ended stays until it is cleaned up.
  if state == 'failed' then
    redis.call('ZREM', prefix .. 'active', upload.id)
  else
    redis.call('ZADD', prefix .. 'active', upload.fields.createdAt, upload.id)
  end
  if upload.fields.state == 'failed' and state ~= 'failed' then
    redis.call('ZREM', prefix .. 'dead', upload.id)
    for _, field in ipairs({ 'failedAt', 'failedJob', 'failedAttempts', 'firstReason', 'firstDetail', 'firstAt' }) do
      set(upload, field, nil)
    end
  end
  set(upload, 'state', state)
  touch(upload)
end

local function explain(upload, reason, detail)
  set(upload, 'reason', reason)
  set(upload, 'detail', detail)
end

-- Keeps the first error since an upload was created or replayed.
local function note_first(upload, reason, detail)
  if upload.fields.firstReason then return end
  set(upload, 'firstReason', reason)
  set(upload, 'firstDetail', detail)
  set(upload, 'firstAt', now)
end

-- Stops an upload until it is replayed. The job is the one that met the error, with how often it had failed before.
local function fail(upload, reason, detail, job, attempts, by)
  if upload.fields.state ~= 'failed' then
    set(upload, 'fromState', upload.fields.state)
    redis.call('ZADD', prefix .. 'dead', digits(now), upload.id)
    set(upload, 'failedAt', now)
  end
  note_first(upload, reason, detail)
  set(upload, 'failedJob', job)
  set(upload, 'failedAttempts', attempts)
  note(upload, 'failed', by, { job = job, attempt = digits(attempts), reason = reason, detail = detail })
  explain(upload, reason, detail)
  -- Somebody must have the time to look at it.
  set(upload, 'expiresAt', math.max(number(upload, 'expiresAt'), now + number(upload, 'expiresIn')))
  move(upload, 'failed')
  forget_merge(upload)
  revoke(upload)
end

-- Ends an upload for good; answers the entry of its clean job.
local function finish(upload, state, at)
  move(upload, state)
  set(upload, 'endedAt', at or now)
  forget_merge(upload)
  revoke(upload)
  return record(upload, 'clean:' .. upload.id, now + grace)
end

-- Goes on to the merge if everything is on the target; answers the entries.
local function merge_if_shipped(upload)
  local state = transitions.allShipped[upload.fields.state]
  if not state or not is_all_shipped(upload) then return {} end
  move(upload, state)
  return { record_merge(upload) }
end

-- Puts a new upload into the sets that name it, and leads its path and its idempotency key to it.
local function enroll(upload, path_key, repeat_key)
  local fields = upload.fields
  redis.call('ZADD', prefix .. 'uploads', fields.createdAt, upload.id)
  redis.call('ZADD', prefix .. 'owner:' .. fields.owner, fields.createdAt, upload.id)
  if path_key then redis.call('SET', path_key, upload.id) end
  if repeat_key then
    redis.call('SET', repeat_key, upload.id, 'PXAT', digits(math.ceil(tonumber(fields.expiresAt) / 1000)))
  end
end
