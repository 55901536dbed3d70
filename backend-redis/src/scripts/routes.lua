-- The whole topology at one moment. KEYS: exchanges, bindings, version.
return { redis.call('GET', KEYS[3]) or '0', redis.call('HGETALL', KEYS[1]), redis.call('SMEMBERS', KEYS[2]) }
