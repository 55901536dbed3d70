-- Shared: what a queue is made of. Each queue has four keys, in this order:
-- its declaration (hash), its stream, its wake-up stream, its delayed messages (sorted set).
local GROUP, FREE = 'swarrot', '-'

local function now_ms()
  local t = redis.call('TIME')
  return t[1] * 1000 + math.floor(t[2] / 1000)
end

-- Makes one reader that waits look at what is due, free or stale. One entry is enough; more would say nothing new. Without
-- memory for it the readers look a little later by themselves.
local function wake(key)
  redis.pcall('XADD', key, 'MAXLEN', '1', '*', 'w', '')
end

-- What the server says of a stream's group, by name; nil if there is none.
local function group_of(stream)
  local groups = redis.pcall('XINFO', 'GROUPS', stream)
  for _, g in ipairs(groups.err and {} or groups) do
    local at = {}
    for i = 1, #g, 2 do at[g[i]] = g[i + 1] end
    if at.name == GROUP then return at end
  end
end

-- Changes the mark of a queue that is there. It is never the same again, so that whoever read something before is told that
-- it may be in other hands by now. Without memory for another there is none, which tells the same.
local function new_mark(queue, me)
  local t = redis.call('TIME')
  local mark = me .. '@' .. t[1] .. '.' .. t[2]
  local set = redis.pcall('HSET', queue, 'mark', mark)
  if type(set) == 'table' then
    redis.call('HDEL', queue, 'mark')
    return ''
  end
  return mark
end

-- Of the entries that were delivered: how many there are, and how many of them are free again.
local function pending(stream)
  local p = redis.pcall('XPENDING', stream, GROUP)
  if p.err then return 0, 0 end
  local free = 0
  for _, owner in ipairs(p[4] or {}) do
    if owner[1] == FREE then free = tonumber(owner[2]) end
  end
  return p[1], free
end

-- How many messages wait: ready, given back, or held back.
local function waiting(stream, delayed)
  local held, free = pending(stream)
  return redis.call('XLEN', stream) - held + free + redis.call('ZCARD', delayed)
end

-- How many more messages fit; nil if the queue does not exist.
local function room(queue, stream, delayed)
  local spec = redis.call('HMGET', queue, 'kind', 'max_length')
  if not spec[1] then return nil end
  if not spec[2] then return math.huge end
  return tonumber(spec[2]) - waiting(stream, delayed)
end

-- Adds a message at the tail, or holds it back. A held-back message is one member: a number that makes it unique and
-- keeps the order of those that are due at once, the length of the metadata, the metadata, the body.
local function put(queue, stream, wake_key, delayed, delay, meta, body)
  if delay <= 0 then
    redis.call('XADD', stream, '*', 'swarrot', meta, 'body', body)
    return
  end
  local number = redis.call('HINCRBY', queue, 'number', 1)
  local member = string.format('%016x%08x', number, #meta) .. meta .. body
  redis.call('ZADD', delayed, now_ms() + delay, member)
  -- Whoever waits for what was due first until now has to wait for this one instead.
  if redis.call('ZRANK', delayed, member) == 0 then wake(wake_key) end
end
