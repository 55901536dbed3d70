-- Gives deliveries back where they were, as if they had not been delivered. KEYS: stream, wake-up stream.
-- ARGV and answer: see `held`.
local ids, counts, verdicts = held(KEYS[1])
for i, id in ipairs(ids) do
  redis.call('XCLAIM', KEYS[1], GROUP, FREE, 0, id, 'RETRYCOUNT', math.max(0, counts[i] - 1), 'JUSTID')
end
if #ids > 0 then wake(KEYS[2]) end
return verdicts
