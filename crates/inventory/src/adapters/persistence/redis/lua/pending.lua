-- The oldest unpublished events, for the one relay that holds the lease: two of them would publish everything twice.
--
-- KEYS  1 outbox, 2 lease
-- ARGV  1 who asks, 2 how long it may go on, in milliseconds, 3 most events wanted
-- Returns events and positions in turn; nothing for whom the lease is not.
local holder = redis.call('GET', KEYS[2])
if holder and holder ~= ARGV[1] then
  return {}
end
redis.call('SET', KEYS[2], ARGV[1], 'PX', ARGV[2])
return redis.call('ZRANGE', KEYS[1], 0, ARGV[3] - 1, 'WITHSCORES')
