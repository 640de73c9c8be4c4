-- Sets the counters of one product, unless it changed since they were computed.
--
-- KEYS  1 product
-- ARGV  1 revision that was audited, 2 on hand, 3 reserved
-- Returns 1 if it was set.
if redis.call('HGET', KEYS[1], 'revision') ~= ARGV[1] then
  return 0
end
redis.call('HSET', KEYS[1], 'on_hand', ARGV[2], 'reserved', ARGV[3])
redis.call('HINCRBY', KEYS[1], 'revision', 1)
return 1
