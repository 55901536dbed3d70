-- Looks after a queue: makes ready what is due, and takes what was given back.
-- KEYS: the queue's four, mark of the last scan. ARGV: provider, how many entries it has room for, how many messages to
-- make ready at most, and how many bytes of them, then ids of wake-ups that it got.
-- Answers with: ms until something is due (0: now, -1: never), ms until a scan for lost leases is due, the queue's
-- dead-letter mode and delivery limit, entries taken (id, count of deliveries, fields), the mark: it changes when deliveries
-- are taken from a provider, and is empty if there is none. Nothing if there is no such queue.
local spec = redis.call('HMGET', KEYS[1], 'kind', 'dead_letter', 'delivery_limit', 'mark')
if not spec[1] then return {} end
-- A sign of life, which makes the provider known as well: a look at what is pending for it behind an id that no entry has.
-- The highest id of all would not do: within the server it means new entries.
redis.call('XREADGROUP', 'GROUP', GROUP, ARGV[1], 'COUNT', 1, 'STREAMS', KEYS[2], '18446744073709551615-0')
local now = now_ms()

local chunk, bytes = tonumber(ARGV[3]), tonumber(ARGV[4])
local due = redis.call('ZRANGEBYSCORE', KEYS[4], '-inf', now, 'LIMIT', 0, 1)
while #due > 0 and chunk > 0 and bytes > 0 do
  local moved = 0
  for _, member in ipairs(due) do
    local length = tonumber(string.sub(member, 17, 24), 16)
    local added = redis.pcall('XADD', KEYS[2], '*', 'swarrot', string.sub(member, 25, 24 + length), 'body',
      string.sub(member, 25 + length))
    -- Without memory it waits on; all else goes on as well.
    if type(added) == 'table' then
      bytes = 0
      break
    end
    moved, chunk, bytes = moved + 1, chunk - 1, bytes - #member
  end
  -- They were the first, in this order.
  if moved > 0 then redis.call('ZREMRANGEBYRANK', KEYS[4], 0, moved - 1) end
  -- A few at a time: they are all in memory at once.
  due = redis.call('ZRANGEBYSCORE', KEYS[4], '-inf', now, 'LIMIT', 0, math.min(chunk, 10))
end
local first = redis.call('ZRANGE', KEYS[4], 0, 0, 'WITHSCORES')
local next_due = first[2] and math.max(0, tonumber(first[2]) - now) or -1
if next_due == 0 and bytes == 0 then next_due = 1000 end

local taken, wanted = {}, tonumber(ARGV[2])
if wanted > 0 then
  for _, p in ipairs(redis.call('XPENDING', KEYS[2], GROUP, '-', '+', wanted, FREE)) do
    local e = redis.call('XCLAIM', KEYS[2], GROUP, ARGV[1], 0, p[1], 'RETRYCOUNT', p[4] + 1)[1]
    if e then taken[#taken + 1] = { p[1], p[4] + 1, e[2] } end
  end
end
for i = 5, #ARGV do redis.call('XACK', KEYS[3], GROUP, ARGV[i]) end
-- What is left is for another.
if #taken == wanted and #redis.call('XPENDING', KEYS[2], GROUP, '-', '+', 1, FREE) > 0 then wake(KEYS[3]) end
local mark = spec[4] or new_mark(KEYS[1], ARGV[1])
return { next_due, math.max(0, redis.call('PTTL', KEYS[5])), spec[2] or '', spec[3] or '', taken, mark }
