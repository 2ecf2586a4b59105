-- Judges one call by GCRA, on the clock of this server. A refused call does not count. A call that arrives twice counts
-- twice: the error is on the strict side.
-- KEYS[1]  string: when the next call would be due if calls came evenly, in microseconds since 1970
-- ARGV     interval between calls in us, reach: how far ahead that may lie, in us
-- Answers {1, calls that would be admitted now} or {0, wait in us}.
-- The largest number here is the clock, 1.8e15; numbers are exact up to 9.0e15.
local kind = redis.call('TYPE', KEYS[1]).ok
if kind ~= 'none' and kind ~= 'string' then
  return redis.error_reply('WRONGTYPE a rate is kept in a string')
end
local interval, reach = tonumber(ARGV[1]), tonumber(ARGV[2])
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000000 + tonumber(time[2])
local ahead = math.max((tonumber(redis.call('GET', KEYS[1]) or '') or now) - now, 0)
-- Farther ahead than calls can bring it: the clock was set back, or there is less reach than there was. What was used before is then not
-- known, and nobody is shut out for that: a burst begins anew.
if ahead > reach then
  ahead = 0
end
local after = ahead + interval
if after > reach then
  return {0, after - reach}
end
redis.call('SET', KEYS[1], string.format('%.0f', now + after), 'PX', string.format('%.0f', math.ceil(after / 1000)))
return {1, math.floor((reach - after) / interval)}
