-- Keeps how a task stands, unless that is known already, and tells those who wait. Arriving twice changes nothing.
-- KEYS[1]  hash: v version, e whether it ended, s the sealed snapshot
-- ARGV     version (20 digits, so that texts compare like numbers), ended (1 or 0), sealed snapshot, life in ms,
--          channel, message
-- Answers 1 when it was kept, 0 when not.
local kind = redis.call('TYPE', KEYS[1]).ok
if kind ~= 'none' and kind ~= 'hash' then
  return redis.error_reply('WRONGTYPE a task is kept in a hash')
end
local known = redis.call('HMGET', KEYS[1], 'v', 'e')
if known[1] and known[1] >= ARGV[1] then
  return 0
end
if known[2] == '1' and ARGV[2] ~= '1' then
  return 0
end
redis.call('HSET', KEYS[1], 'v', ARGV[1], 'e', ARGV[2], 's', ARGV[3])
redis.call('PEXPIRE', KEYS[1], ARGV[4])
redis.call('PUBLISH', ARGV[5], ARGV[6])
return 1
