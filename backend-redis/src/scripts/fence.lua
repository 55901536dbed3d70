-- Shared: which of these deliveries this provider still holds. ARGV: provider, then the id and the delivery count of each,
-- in the order of their ids, up to the index `last` where more follow. A delivery is held if the entry is pending for this provider with exactly that count: else
-- its lease was lost, and the entry may be in other hands, or in the same hands once more.
-- Answers with the ids held, and a verdict for each: '.' held, 'l' in other hands, 'g' gone.
local function held(stream, last)
  local me = ARGV[1]
  last = last or #ARGV
  -- One look for all of them, instead of one each.
  local limit = last * 2
  local mine = {}
  local found = redis.call('XPENDING', stream, GROUP, ARGV[2], ARGV[last - 1], limit, me)
  for _, p in ipairs(found) do mine[p[1]] = p[4] end
  local ids, counts, verdicts = {}, {}, {}
  for i = 2, last, 2 do
    local id, count = ARGV[i], tonumber(ARGV[i + 1])
    if not mine[id] and #found == limit then
      local p = redis.call('XPENDING', stream, GROUP, id, id, 1, me)[1]
      if p then mine[id] = p[4] end
    end
    if mine[id] == count then
      ids[#ids + 1], counts[#counts + 1], verdicts[#verdicts + 1] = id, count, '.'
    elseif #redis.call('XPENDING', stream, GROUP, id, id, 1) == 0 then
      verdicts[#verdicts + 1] = 'g'
    else
      verdicts[#verdicts + 1] = 'l'
    end
  end
  return ids, counts, table.concat(verdicts)
end

local function forget(stream, ids)
  if #ids > 0 then
    redis.call('XACK', stream, GROUP, unpack(ids))
    redis.call('XDEL', stream, unpack(ids))
  end
end
