-- Begins leases anew. KEYS: stream. ARGV and answer: see `held`.
local ids, _, verdicts = held(KEYS[1])
if #ids > 0 then
  ids[#ids + 1] = 'JUSTID'
  redis.call('XCLAIM', KEYS[1], GROUP, ARGV[1], 0, unpack(ids))
end
return verdicts
