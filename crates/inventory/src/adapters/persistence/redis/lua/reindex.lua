-- Puts one reservation where the sweeper looks for it, or takes it away, by what the reservation itself says.
--
-- KEYS  1 reservation, 2 expiries
-- ARGV  1 order id
-- Returns 1 if that was needed.
local held = redis.call('HMGET', KEYS[1], 'status', 'expires_at')
local listed = redis.call('ZSCORE', KEYS[2], ARGV[1])
if held[1] == 'held' then
  if tonumber(held[2] or '') and tonumber(listed or '') ~= tonumber(held[2]) then
    redis.call('ZADD', KEYS[2], held[2], ARGV[1])
    return 1
  end
elseif listed then
  redis.call('ZREM', KEYS[2], ARGV[1])
  return 1
end
return 0
