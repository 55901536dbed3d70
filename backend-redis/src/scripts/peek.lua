-- Looks at ready messages in the order of their delivery. KEYS: the queue's four. ARGV: how many.
-- Answers with entries (id, fields); false if there is no such queue.
if redis.call('EXISTS', KEYS[1]) == 0 then return false end
local wanted, seen = tonumber(ARGV[1]), {}
local group = redis.pcall('XPENDING', KEYS[2], GROUP, '-', '+', wanted, FREE)
for _, p in ipairs(group.err and {} or group) do
  local e = redis.call('XRANGE', KEYS[2], p[1], p[1])[1]
  if e then seen[#seen + 1] = e end
end
local at = group_of(KEYS[2])
local last = at and at['last-delivered-id'] or '0-0'
if #seen < wanted then
  for _, e in ipairs(redis.call('XRANGE', KEYS[2], '(' .. last, '+', 'COUNT', wanted - #seen)) do seen[#seen + 1] = e end
end
local due = redis.call('ZRANGEBYSCORE', KEYS[4], '-inf', now_ms(), 'LIMIT', 0, math.max(0, wanted - #seen))
for _, member in ipairs(due) do
  local length = tonumber(string.sub(member, 17, 24), 16)
  seen[#seen + 1] = { '0-0', { 'swarrot', string.sub(member, 25, 24 + length), 'body', string.sub(member, 25 + length) } }
end
return seen
