-- Creates exchanges and bindings where they are missing. KEYS: exchanges, bindings, version.
-- ARGV: how many exchanges, the name and kind of each, then the bindings.
-- Answers with the name and kind of each exchange that is there with another kind; then nothing was created.
local count, conflicts, changed = tonumber(ARGV[1]), {}, 0
for i = 2, count * 2, 2 do
  local kind = redis.call('HGET', KEYS[1], ARGV[i])
  if kind and kind ~= ARGV[i + 1] then
    conflicts[#conflicts + 1] = ARGV[i]
    conflicts[#conflicts + 1] = kind
  end
end
if #conflicts > 0 then return conflicts end
-- A server without memory refuses to create even what exists.
for i = 2, count * 2, 2 do
  if redis.call('HEXISTS', KEYS[1], ARGV[i]) == 0 then changed = changed + redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1]) end
end
for i = count * 2 + 2, #ARGV do
  if redis.call('SISMEMBER', KEYS[2], ARGV[i]) == 0 then changed = changed + redis.call('SADD', KEYS[2], ARGV[i]) end
end
if changed > 0 then redis.call('INCR', KEYS[3]) end
return conflicts
