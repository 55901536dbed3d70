-- Deletes messages that wait, a chunk at a time, and none that came after the purge began. KEYS: the queue's four.
-- ARGV: how many; what the call before answered: the last id that existed when the purge began, the number of the message that
-- was held back last, where to go on among those held back (all empty in the first call; 'end' in the place of the last: all seen).
-- Answers with: how many were deleted, then these three; nothing if there is no such queue.
if redis.call('EXISTS', KEYS[1]) == 0 then return {} end
local chunk, upto, newest, cursor, n = tonumber(ARGV[1]), ARGV[2], ARGV[3], ARGV[4], 0
local exists = redis.call('EXISTS', KEYS[2]) == 1
if cursor == '' then
  upto, newest, cursor = '0-0', redis.call('HGET', KEYS[1], 'number') or '0', '0'
  local stream = exists and redis.call('XINFO', 'STREAM', KEYS[2]) or {}
  for i = 1, #stream, 2 do
    if stream[i] == 'last-generated-id' then upto = stream[i + 1] end
  end
end
if exists then
  local at = group_of(KEYS[2])
  local last = at and at['last-delivered-id'] or '0-0'
  local free = redis.pcall('XPENDING', KEYS[2], GROUP, '-', upto, chunk, FREE)
  for _, p in ipairs(free.err and {} or free) do
    redis.call('XACK', KEYS[2], GROUP, p[1])
    n = n + redis.call('XDEL', KEYS[2], p[1])
  end
  for _, e in ipairs(redis.call('XRANGE', KEYS[2], '(' .. last, upto, 'COUNT', chunk)) do
    n = n + redis.call('XDEL', KEYS[2], e[1])
  end
end
if cursor ~= 'end' then
  local page = redis.call('ZSCAN', KEYS[4], cursor, 'COUNT', chunk)
  cursor = page[1] == '0' and 'end' or page[1]
  for i = 1, #page[2], 2 do
    local member = page[2][i]
    if tonumber(string.sub(member, 1, 16), 16) <= tonumber(newest) then n = n + redis.call('ZREM', KEYS[4], member) end
  end
end
return { n, upto, newest, cursor }
