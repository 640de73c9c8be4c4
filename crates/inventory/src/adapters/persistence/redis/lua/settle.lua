-- Saves what the domain decided about one reservation: its state, the stock of its lines, the ledger, the event. All or nothing:
-- everything is compared before anything is written.
--
-- KEYS  1 reservation, 2 orders, 3 expiries, 4 movements, 5 events, 6 outbox, 7 position, from 8 on the products whose stock moves
-- ARGV  1 revision that was decided on ('0': none), 2 order id, 3 status, 4 release cause, 5 end of the hold, 6 lines,
--       7 version, 8 now, 9 event id, 10 event type, 11 event ('' for none), 12 channel that wakes relays,
--       13 '1' if units that are missing are booked as found first, 14 what the ledger then says,
--       15 '1' if products that are not in the catalogue are passed over,
--       from 16 on, for each product: sku, change of on hand, change of reserved, kind of movement ('' for none)
-- Returns {'saved', units that were booked as found of each product, 1 for each product that was passed over and 0 for others}; {'changed', fields of the reservation}; or {'stock', on hand and reserved of each product ('' if unknown)}.
local revision = redis.call('HGET', KEYS[1], 'revision') or '0'
if revision ~= ARGV[1] then
  return {'changed', redis.call('HGETALL', KEYS[1])}
end

local fits, stocks, found, passed = true, {}, {}, {}
for i = 8, #KEYS do
  local a = 16 + (i - 8) * 4
  local stock = redis.call('HMGET', KEYS[i], 'on_hand', 'reserved')
  local on_hand, reserved = tonumber(stock[1] or ''), tonumber(stock[2] or '')
  -- The invariant of the store, as a CHECK is elsewhere. What to answer when it would break, the domain decides.
  local missing = 0
  local unknown = redis.call('EXISTS', KEYS[i]) == 0
  local pass = unknown and ARGV[15] == '1'
  if pass then
    -- Given back, and no shelf to put it on.
    missing = 0
  elseif unknown and ARGV[13] == '1' then
    -- Not in the catalogue (any more): nothing of it is there to be moved.
    missing = -tonumber(ARGV[a + 1])
  elseif not on_hand or not reserved or reserved + ARGV[a + 2] < 0 then
    fits = false
  else
    missing = math.max(0, reserved + ARGV[a + 2] - on_hand - ARGV[a + 1])
  end
  if missing > 0 and ARGV[13] ~= '1' then
    fits = false
  end
  found[#found + 1] = missing
  passed[#passed + 1] = pass and 1 or 0
  stocks[#stocks + 1] = stock[1] or ''
  stocks[#stocks + 1] = stock[2] or ''
end
if not fits then
  return {'stock', stocks}
end

if ARGV[11] ~= '' then
  local position = redis.call('INCR', KEYS[7])
  redis.call('XADD', KEYS[5], position .. '-0', 'id', ARGV[9], 'type', ARGV[10], 'subject', ARGV[2],
    'aggregate_version', ARGV[7], 'body', ARGV[11])
  redis.call('ZADD', KEYS[6], position, ARGV[11])
  redis.call('PUBLISH', ARGV[12], position)
end
for i = 8, #KEYS do
  local a = 16 + (i - 8) * 4
  local missing = found[i - 7]
  if missing > 0 then
    redis.call('XADD', KEYS[4], '*', 'sku', ARGV[a], 'kind', 'counted', 'quantity', missing,
      'order_id', '', 'reason', ARGV[14], 'at', ARGV[8])
  end
  if stocks[(i - 8) * 2 + 1] ~= '' then
    if ARGV[a + 1] + missing ~= 0 then
      redis.call('HINCRBY', KEYS[i], 'on_hand', ARGV[a + 1] + missing)
    end
    if ARGV[a + 2] ~= '0' then
      redis.call('HINCRBY', KEYS[i], 'reserved', ARGV[a + 2])
    end
    redis.call('HINCRBY', KEYS[i], 'revision', 1)
  end
  if ARGV[a + 3] ~= '' and passed[i - 7] == 0 then
    redis.call('XADD', KEYS[4], '*', 'sku', ARGV[a], 'kind', ARGV[a + 3], 'quantity', ARGV[a + 1],
      'order_id', ARGV[2], 'reason', '', 'at', ARGV[8])
  end
end
redis.call('HSET', KEYS[1], 'status', ARGV[3], 'release_cause', ARGV[4], 'expires_at', ARGV[5], 'lines', ARGV[6],
  'version', ARGV[7], 'updated_at', ARGV[8])
redis.call('HINCRBY', KEYS[1], 'revision', 1)
redis.call('ZADD', KEYS[2], 0, ARGV[2])
if ARGV[3] == 'held' then
  redis.call('ZADD', KEYS[3], ARGV[5], ARGV[2])
else
  redis.call('ZREM', KEYS[3], ARGV[2])
end
return {'saved', found, passed}
