-- Counts. KEYS: declaration, stream, delayed messages; the same of the dead-letter queue. ARGV: ms without a sign of life after
-- which a provider counts as gone. Answers with: ready, unsettled, delayed, parked (-1: no such queue), providers;
-- nothing if there is no such queue.
if redis.call('EXISTS', KEYS[1]) == 0 then return {} end
local held, free = pending(KEYS[2])
local due = redis.call('ZCOUNT', KEYS[3], '-inf', now_ms())
local parked = -1
if redis.call('EXISTS', KEYS[4]) == 1 then
  parked = redis.call('XLEN', KEYS[5]) + redis.call('ZCARD', KEYS[6])
end
local providers = 0
local consumers = redis.pcall('XINFO', 'CONSUMERS', KEYS[2], GROUP)
for _, c in ipairs(consumers.err and {} or consumers) do
  local at = {}
  for i = 1, #c, 2 do at[c[i]] = c[i + 1] end
  if at.name ~= FREE and at.idle < tonumber(ARGV[1]) then providers = providers + 1 end
end
return { redis.call('XLEN', KEYS[2]) - held + free + due, held - free, redis.call('ZCARD', KEYS[3]) - due, parked, providers }
