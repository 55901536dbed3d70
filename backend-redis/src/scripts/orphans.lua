-- Finds entries that were delivered to this provider and may never have arrived: the connection broke.
-- KEYS: stream. ARGV: provider, where to begin, how many. Answers with entries (id, count of deliveries, idle ms).
return redis.call('XPENDING', KEYS[1], GROUP, ARGV[2], '+', ARGV[3], ARGV[1])
