-- Creates a queue where there is none. KEYS: declaration, stream, wake-up stream. ARGV: the declaration's fields and values.
-- Answers with the declaration that was there before, empty if there was none.
local existing = redis.call('HGETALL', KEYS[1])
if #existing == 0 then redis.call('HSET', KEYS[1], unpack(ARGV)) end
-- Also where the queue is there: a stream that was lost comes back. What is not lost is left alone, since a server without
-- memory refuses to create even what exists, and nobody could take messages out of it then.
for i = 2, 3 do
  if not group_of(KEYS[i]) then
    redis.call('XGROUP', 'CREATE', KEYS[i], GROUP, '0', 'MKSTREAM')
    -- All that was delivered goes to others as well.
    redis.call('HDEL', KEYS[1], 'mark')
  end
end
return existing
