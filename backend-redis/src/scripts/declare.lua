-- Creates a queue where there is none. KEYS: declaration, stream, wake-up stream. ARGV: the declaration's fields and values.
-- Answers with the declaration that was there before, empty if there was none.
local existing = redis.call('HGETALL', KEYS[1])
if #existing == 0 then redis.call('HSET', KEYS[1], unpack(ARGV)) end
-- Also where the queue is there: a stream that was lost comes back.
for i = 2, 3 do
  local made = redis.pcall('XGROUP', 'CREATE', KEYS[i], GROUP, '0', 'MKSTREAM')
  if made.err and not string.find(made.err, 'BUSYGROUP', 1, true) then return made end
end
return existing
