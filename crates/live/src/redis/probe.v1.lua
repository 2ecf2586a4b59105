-- Writes something: whether this Redis takes writes and runs scripts, with the clock that the other scripts need.
-- KEYS[1]  string: nothing
-- ARGV     life in ms
redis.call('TIME')
redis.call('SET', KEYS[1], 1, 'PX', ARGV[1])
return redis.status_reply('OK')
