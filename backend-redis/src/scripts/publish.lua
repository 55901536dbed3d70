-- Publishes messages, each into all of its queues or none.
-- KEYS: record of what this publisher has published, version of the topology, then four of each queue.
-- ARGV: lane, number within the lane, how long to keep the record in ms, the topology's version for which the messages were
-- routed (empty: do not look); then of each message: how many queues, their indexes, delay in ms, metadata, body.
-- Answers with a verdict for each message: '.' taken, 'm' no such queue, 'f' a queue is full. 'stale' if the topology has
-- changed; 'old' if a later batch of the lane came first, so that nobody waits for this one any more.
--
-- A batch that is sent again, because the connection broke before the answer, finds its verdicts in the record. It writes all the
-- same: whoever waits for replicas then waits for the messages too, which another connection may have brought.
local done = redis.call('HGET', KEYS[1], ARGV[1])
if done then
  local number, verdicts = string.match(done, '^(%d+):(.*)$')
  number = tonumber(number)
  if number == tonumber(ARGV[2]) then
    redis.call('PEXPIRE', KEYS[1], ARGV[3])
    return verdicts
  end
  if number > tonumber(ARGV[2]) then return 'old' end
end
if ARGV[4] ~= '' and (redis.call('GET', KEYS[2]) or '0') ~= ARGV[4] then return 'stale' end

local rooms = {}
local function room_of(index)
  local k = index * 4 - 1
  if rooms[index] == nil then rooms[index] = room(KEYS[k], KEYS[k + 1], KEYS[k + 3]) or false end
  return rooms[index]
end

local verdicts = {}
local a = 5
while a <= #ARGV do
  local count = tonumber(ARGV[a])
  local queues, full = {}, false
  for i = a + 1, a + count do
    local index = tonumber(ARGV[i])
    local left = room_of(index)
    if left then
      queues[#queues + 1] = index
      full = full or left <= 0
    end
  end
  a = a + count + 1
  if #queues == 0 then
    verdicts[#verdicts + 1] = 'm'
  elseif full then
    verdicts[#verdicts + 1] = 'f'
  else
    for _, index in ipairs(queues) do
      local k = index * 4 - 1
      put(KEYS[k], KEYS[k + 1], KEYS[k + 2], KEYS[k + 3], tonumber(ARGV[a]), ARGV[a + 1], ARGV[a + 2])
      rooms[index] = rooms[index] - 1
    end
    verdicts[#verdicts + 1] = '.'
  end
  a = a + 3
end
local answer = table.concat(verdicts)
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2] .. ':' .. answer)
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return answer
