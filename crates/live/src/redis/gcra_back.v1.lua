-- Takes back one call that gcra.v1.lua counted. One that arrives twice takes back two; what is not ahead stays where it is.
-- KEYS[1]  string: when the next call would be due if calls came evenly, in microseconds since 1970
-- ARGV     interval between calls in us
-- Answers 1 when something was taken back, 0 when there was nothing.
local kind = redis.call('TYPE', KEYS[1]).ok
if kind == 'none' then
  return 0
end
if kind ~= 'string' then
  return redis.error_reply('WRONGTYPE a rate is kept in a string')
end
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000000 + tonumber(time[2])
local ahead = math.max((tonumber(redis.call('GET', KEYS[1]) or '') or now) - now - tonumber(ARGV[1]), 0)
-- A key that is not ahead says no more than its absence would: it ends in a millisecond.
redis.call('SET', KEYS[1], string.format('%.0f', now + ahead), 'PX', string.format('%.0f', math.max(math.ceil(ahead / 1000), 1)))
return 1
