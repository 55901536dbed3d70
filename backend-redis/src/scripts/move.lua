-- Puts a copy into a queue, then settles the original for good. KEYS: the original's stream, then four of the queue.
-- ARGV: provider, id, delivery count, delay in ms, metadata, body.
-- Answers with: '.' moved, 'l' in other hands, 'g' gone, 'm' no such queue, 'f' the queue is full.
local delay, meta, body = tonumber(ARGV[4]), ARGV[5], ARGV[6]
local ids, _, verdict = held(KEYS[1], 3)
if #ids == 0 then return verdict end
local left = room(KEYS[2], KEYS[3], KEYS[5])
if not left then return 'm' end
-- A copy in the place of its original always fits: refused, it would stay in its worker's hands, and with enough of them nobody
-- would take anything out of the full queue any more.
if left <= 0 and KEYS[1] ~= KEYS[3] then return 'f' end
put(KEYS[2], KEYS[3], KEYS[4], KEYS[5], delay, meta, body)
forget(KEYS[1], ids)
return verdict
