#!lua flags=allow-oom
-- forbid: makes sure that an upload that is not in the index is never created, so that its record can be discarded while
-- whoever was to create it may only be slow.
-- KEYS    1 epoch, 2 upload
-- ARGV    1 epoch, 2 seconds that this is kept
-- RETURNS 1, or 0 where the upload is in the index

if redis.call('EXISTS', KEYS[2]) == 1 then return 0 end
redis.call('SET', never_key(named_id()), 1, 'EX', ARGV[2])
return 1
