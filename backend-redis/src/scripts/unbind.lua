-- Removes all bindings of a queue. KEYS: bindings, version. ARGV: the queue.
local changed = 0
for _, binding in ipairs(redis.call('SMEMBERS', KEYS[1])) do
  if string.match(binding, '^[^\n]*\n([^\n]*)\n') == ARGV[1] then changed = changed + redis.call('SREM', KEYS[1], binding) end
end
if changed > 0 then redis.call('INCR', KEYS[2]) end
return changed
