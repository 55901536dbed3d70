-- Forgets a provider that ends. KEYS: stream, wake-up stream. ARGV: provider. Not if it holds something.
if #redis.call('XPENDING', KEYS[1], GROUP, '-', '+', 1, ARGV[1]) > 0 then return 0 end
-- A wake-up that it got may have been meant for what is there still.
if redis.call('XGROUP', 'DELCONSUMER', KEYS[2], GROUP, ARGV[1]) > 0 then wake(KEYS[2]) end
return redis.call('XGROUP', 'DELCONSUMER', KEYS[1], GROUP, ARGV[1])
