-- Settles deliveries for good that nobody can have taken from their provider meanwhile. KEYS: stream, declaration.
-- ARGV: the mark that was there before they were read (see `tend`), then their ids.
-- Answers with: '.' done; '' they are all gone; else nothing was done, and '=' with the present mark.
--
-- To ask for each whether it is held would cost more than all else of its settlement. Whoever takes a delivery from its
-- provider changes the mark in the same step; so while the mark is the same, nobody has.
local spec = redis.call('HMGET', KEYS[2], 'kind', 'mark')
if not spec[1] or not spec[2] or spec[2] ~= ARGV[1] then return '=' .. (spec[1] and spec[2] or '') end
local ended = redis.call('XACK', KEYS[1], GROUP, unpack(ARGV, 2))
if ended == 0 then return '' end
redis.call('XDEL', KEYS[1], unpack(ARGV, 2))
return '.'
