#!lua flags=allow-oom
-- unlock: gives a named lease up, if it still is the holder's.
-- KEYS    1 lock
-- ARGV    1 holder
-- RETURNS 1 if it was given up

if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('DEL', KEYS[1])
