-- Forgets providers that are gone and hold nothing. KEYS: stream, wake-up stream. ARGV: ms without a sign of life.
-- Never one with entries pending: they would be lost.
local n = 0
for k = 1, 2 do
  for _, c in ipairs(redis.call('XINFO', 'CONSUMERS', KEYS[k], GROUP)) do
    local at = {}
    for i = 1, #c, 2 do at[c[i]] = c[i + 1] end
    -- A wake-up that nobody followed says nothing any more.
    if at.idle > tonumber(ARGV[1]) and (at.pending == 0 or k == 2) then
      redis.call('XGROUP', 'DELCONSUMER', KEYS[k], GROUP, at.name)
      n = n + 1
    end
  end
end
return n
