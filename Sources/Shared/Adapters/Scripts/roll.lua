#!lua flags=no-writes
-- roll: those who told that they are there and whose time is not over.
-- KEYS    1 epoch, 2 roll (hash of name to expiry, time and text)
-- ARGV    none
-- RETURNS {time, text, time, text, …}

local found = {}
for _, value in ipairs(redis.call('HVALS', KEYS[2])) do
  local expiry, time, text = string.match(value, '^(%d+) (%d+) (.*)$')
  if expiry and tonumber(expiry) > now then
    found[#found + 1] = time
    found[#found + 1] = text
  end
end
return found
