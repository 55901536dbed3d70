-- Settles deliveries for good. KEYS: stream. ARGV and answer: see `held`.
local ids, _, verdicts = held(KEYS[1])
forget(KEYS[1], ids)
return verdicts
