-- Refuses where the index is not the one that this process attached to: it was wiped, or is being read anew.
-- KEYS    1 epoch
-- ARGV    1 the epoch's identifier as this process knows it
-- RETURNS the error REBUILDING, or goes on

if redis.call('HGET', KEYS[1], 'id') ~= ARGV[1] then
  return redis.error_reply('REBUILDING this is not the index that the caller attached to')
end
