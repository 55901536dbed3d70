-- Publishes messages, each into all of its queues or none.
-- KEYS: record of what this publisher has published, version of the topology, then four of each queue.
-- ARGV: lane, number within the lane, how long to keep the record in ms, the topology's version for which the messages were
-- routed (empty: do not look); then of each run of messages that have their queues and their delay in common: how many messages,
-- delay in ms, how many queues, their indexes; and metadata and body of each of them.
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

-- A queue's keys and how many more messages fit, by its index; false if there is no such queue.
local targets = {}
local function target(index)
  if targets[index] == nil then
    local k = tonumber(index) * 4 - 1
    local left = room(KEYS[k], KEYS[k + 1], KEYS[k + 3])
    targets[index] = left and { left = left, queue = KEYS[k], stream = KEYS[k + 1], wake = KEYS[k + 2], delayed = KEYS[k + 3] }
      or false
  end
  return targets[index]
end

local args, call = ARGV, redis.call
local verdicts, a, last = {}, 5, #ARGV
while a <= last do
  local messages, delay, count = tonumber(args[a]), tonumber(args[a + 1]), tonumber(args[a + 2])
  local queues, left = {}, math.huge
  for i = a + 3, a + 2 + count do
    local to = target(args[i])
    if to then
      queues[#queues + 1] = to
      left = math.min(left, to.left)
    end
  end
  a = a + 3 + count
  local taken = #queues == 0 and 0 or math.max(0, math.min(messages, left))
  for _, to in ipairs(queues) do
    -- This is most of what a publish costs the server: for each message one call, and nothing but locals.
    local stream = to.stream
    for i = a, a + 2 * taken - 1, 2 do
      if delay <= 0 then
        call('XADD', stream, '*', 'swarrot', args[i], 'body', args[i + 1])
      else
        put(to.queue, stream, to.wake, to.delayed, delay, args[i], args[i + 1])
      end
    end
    to.left = to.left - taken
  end
  local rest = #queues == 0 and 'm' or 'f'
  verdicts[#verdicts + 1] = string.rep('.', taken) .. string.rep(rest, messages - taken)
  a = a + 2 * messages
end
local answer = table.concat(verdicts)
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2] .. ':' .. answer)
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return answer
