-- Frees a key. KEYS: the key. ARGV: owner. Not if it is done, or another's.
if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('UNLINK', KEYS[1]) end
return 0
