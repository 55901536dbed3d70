-- Deletes messages that wait, a chunk at a time. KEYS: the queue's four. ARGV: how many, the last id that existed when the
-- purge began (empty: it begins now).
-- Answers with: how many were deleted, that id; nothing if there is no such queue.
if redis.call('EXISTS', KEYS[1]) == 0 then return {} end
local chunk, upto, last, n = tonumber(ARGV[1]), ARGV[2], '0-0', 0
if redis.call('EXISTS', KEYS[2]) == 1 then
  local stream = redis.call('XINFO', 'STREAM', KEYS[2])
  for i = 1, #stream, 2 do
    if upto == '' and stream[i] == 'last-generated-id' then upto = stream[i + 1] end
  end
  for _, g in ipairs(redis.call('XINFO', 'GROUPS', KEYS[2])) do
    local at = {}
    for i = 1, #g, 2 do at[g[i]] = g[i + 1] end
    if at.name == GROUP then last = at['last-delivered-id'] end
  end
  local free = redis.pcall('XPENDING', KEYS[2], GROUP, '-', '+', chunk, FREE)
  for _, p in ipairs(free.err and {} or free) do
    redis.call('XACK', KEYS[2], GROUP, p[1])
    n = n + redis.call('XDEL', KEYS[2], p[1])
  end
  for _, e in ipairs(redis.call('XRANGE', KEYS[2], '(' .. last, upto, 'COUNT', chunk)) do
    n = n + redis.call('XDEL', KEYS[2], e[1])
  end
end
local delayed = redis.call('ZRANGE', KEYS[4], 0, chunk - 1)
for _, member in ipairs(delayed) do n = n + redis.call('ZREM', KEYS[4], member) end
return { n, upto }
