-- Saves what the domain decided about one product: its fields, its tags, the ledger, the event. All or nothing: everything is
-- compared before anything is written.
--
-- KEYS  1 product, 2 skus, 3 movements, 4 events, 5 outbox, 6 position, then the tags that it loses, then those that it has
-- ARGV  1 revision that was decided on ('0': none), 2 sku, 3 now, 4 event id, 5 event type, 6 version, 7 event,
--       8 channel that wakes relays, 9 units that came or went ('' for none), 10 why, 11 how many tags it loses,
--       from 12 on field, value
-- Returns {'saved'} or {'changed', fields of the product}.
local revision = redis.call('HGET', KEYS[1], 'revision') or '0'
if revision ~= ARGV[1] then
  return {'changed', redis.call('HGETALL', KEYS[1])}
end

local position = redis.call('INCR', KEYS[6])
redis.call('XADD', KEYS[4], position .. '-0', 'id', ARGV[4], 'type', ARGV[5], 'subject', ARGV[2],
  'aggregate_version', ARGV[6], 'body', ARGV[7])
redis.call('ZADD', KEYS[5], position, ARGV[7])
redis.call('PUBLISH', ARGV[8], position)
if ARGV[9] ~= '' then
  redis.call('XADD', KEYS[3], '*', 'sku', ARGV[2], 'kind', 'counted', 'quantity', ARGV[9], 'order_id', '',
    'reason', ARGV[10], 'at', ARGV[3])
end
for i = 12, #ARGV, 2 do
  redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1])
end
redis.call('HINCRBY', KEYS[1], 'revision', 1)
redis.call('ZADD', KEYS[2], 0, ARGV[2])
for i = 7, #KEYS do
  if i - 7 < tonumber(ARGV[11]) then
    redis.call('ZREM', KEYS[i], ARGV[2])
  else
    redis.call('ZADD', KEYS[i], 0, ARGV[2])
  end
end
return {'saved'}
