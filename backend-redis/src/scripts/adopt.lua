-- Reads entries again that were delivered to this provider, without counting it as a delivery.
-- KEYS: stream. ARGV: see `held`. Answers with entries (id, count of deliveries, fields).
local ids, counts = held(KEYS[1])
local taken = {}
for i, id in ipairs(ids) do
  local e = redis.call('XCLAIM', KEYS[1], GROUP, ARGV[1], 0, id, 'RETRYCOUNT', counts[i])[1]
  if e then taken[#taken + 1] = { id, counts[i], e[2] } end
end
return taken
