-- Looks for entries whose provider let their lease end, a page at a time, and takes them.
-- KEYS: stream, mark of the scan, declaration. ARGV: provider, lease of providers that do not say theirs in ms, how many entries it has
-- room for, entries on a page, where to begin ('-' for the first page), ms until the first lease ends, as far as known.
-- Answers with: where to go on ('' at the end), ms until the next scan is due, entries taken (id, count of deliveries, fields).
local me, lease, wanted, page, from = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4]), ARGV[5]
local soonest = tonumber(ARGV[6])
if from == '-' then
  local left = redis.call('PTTL', KEYS[2])
  -- Somebody else is at it, or was not long ago. One whose own leases are longer has promised for longer than these can wait.
  if left > 0 and left <= lease then return { '', left, {} } end
  -- Without memory for the mark several may be at it, which does no harm.
  redis.pcall('SET', KEYS[2], me, 'PX', lease)
end
local found = redis.call('XPENDING', KEYS[1], GROUP, from, '+', page)
local taken, marked = {}, false
for _, p in ipairs(found) do
  local id, owner, idle, count = p[1], p[2], p[3], p[4]
  -- A provider says in its name how long its leases are, since others may have other leases.
  local left = (tonumber(string.match(owner, '~(%d+)$')) or lease) - idle
  if owner == FREE then
    -- Not lost but given back.
  elseif left > 0 then
    soonest = math.min(soonest, left)
  elseif wanted > 0 then
    if not marked and redis.call('HEXISTS', KEYS[3], 'kind') == 1 then new_mark(KEYS[3], me) end
    marked = true
    local e = redis.call('XCLAIM', KEYS[1], GROUP, me, 0, id, 'RETRYCOUNT', count + 1)[1]
    if e then taken[#taken + 1] = { id, count + 1, e[2] } end
    wanted = wanted - 1
  else
    soonest = 1
  end
end
local next_page = ''
if #found == page and soonest > 1 then next_page = '(' .. found[#found][1] end
if next_page == '' then redis.call('PEXPIRE', KEYS[2], soonest) end
return { next_page, soonest, taken }
