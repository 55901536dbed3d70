-- Claims a key, or begins its owner's lease anew. KEYS: the key. ARGV: owner, lease in ms.
-- Answers with -1 if it is done, 0 if it is the owner's now, else for how many ms it is another's.
local value = redis.call('GET', KEYS[1])
if value == 'done' then return -1 end
if value and value ~= ARGV[1] then return math.max(1, redis.call('PTTL', KEYS[1])) end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 0
