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

-- This is most of what a publish costs the server. So what is used for each message is local, and what most messages do, one
-- queue and no delay, makes no table and calls no function but the one.
local args, call = ARGV, redis.call
local function store(to, at)
  if args[at] == '0' then
    call('XADD', to.stream, '*', 'swarrot', args[at + 1], 'body', args[at + 2])
  else
    put(to.queue, to.stream, to.wake, to.delayed, tonumber(args[at]), args[at + 1], args[at + 2])
  end
  to.left = to.left - 1
end

local verdicts, n = {}, 0
local a = 5
while a <= #args do
  n = n + 1
  local verdict = 'm'
  local count = args[a] == '1' and 1 or tonumber(args[a])
  for i = a + 1, a + count do
    local to = target(args[i])
    if to then
      if to.left <= 0 then verdict = 'f' elseif verdict == 'm' then verdict = '.' end
    end
  end
  if verdict == '.' then
    for i = a + 1, a + count do
      local to = targets[args[i]]
      if to then store(to, a + count + 1) end
    end
  end
  verdicts[n] = verdict
  a = a + count + 4
end
local answer = table.concat(verdicts)
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2] .. ':' .. answer)
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return answer
