-- Puts deliveries back behind all others, with their counts. KEYS: stream. ARGV and answer: see `held`.
local ids, counts, verdicts = held(KEYS[1])
for i, id in ipairs(ids) do
  local entry = redis.call('XRANGE', KEYS[1], id, id)[1]
  if entry then
    local fields, before = {}, 0
    for f = 1, #entry[2], 2 do
      if entry[2][f] == 'swarrot_count' then
        before = tonumber(entry[2][f + 1]) or 0
      else
        fields[#fields + 1] = entry[2][f]
        fields[#fields + 1] = entry[2][f + 1]
      end
    end
    redis.call('XADD', KEYS[1], '*', 'swarrot_count', before + counts[i], unpack(fields))
  end
  -- Each at once: should a later one fail, this one is not there twice.
  forget(KEYS[1], { id })
end
return verdicts
