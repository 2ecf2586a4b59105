-- Takes one of the slots of a key, on the clock of this server. Taking a slot one has renews its life, so arriving twice
-- takes one.
-- KEYS[1]  sorted set: slot -> end of its life in ms since 1970
-- ARGV     slot, limit, life in ms
-- Answers 1 when it is taken, 0 when there is no room.
local kind = redis.call('TYPE', KEYS[1]).ok
if kind ~= 'none' and kind ~= 'zset' then
  return redis.error_reply('WRONGTYPE slots are kept in a sorted set')
end
local life = tonumber(ARGV[3])
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', string.format('%.0f', now))
if not redis.call('ZSCORE', KEYS[1], ARGV[1]) and redis.call('ZCARD', KEYS[1]) >= tonumber(ARGV[2]) then
  -- A slot that lives longer than a life was taken before the clock was set back: from now on it has one.
  local last = string.format('%.0f', now + life)
  for _, slot in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '(' .. last, '+inf')) do
    redis.call('ZADD', KEYS[1], last, slot)
  end
  return 0
end
redis.call('ZADD', KEYS[1], string.format('%.0f', now + life), ARGV[1])
-- The key lives as long as the slot that lives longest.
if redis.call('PTTL', KEYS[1]) < life then
  redis.call('PEXPIRE', KEYS[1], ARGV[3])
end
return 1
