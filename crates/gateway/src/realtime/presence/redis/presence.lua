-- All that is done to the presence of users, each call all or nothing. Time is that of Redis.
--
-- KEYS[1]  what all keys begin with; it holds a hash tag, so that all are of one slot:
--            :gateways           sorted set of gateways, by the moment that they are given up
--            :gateway:<gateway>  set of the devices of a gateway, each with its user before it; and '*' since a heartbeat, for as
--                                long as nothing of it was given up
--            :devices:<user>     set of a user's devices
--            :rooms:<user>       hash of a user's rooms: on how many devices
--            :device:<device>    set of a device's rooms
--            :lingering          sorted set of devices, by the moment that they end
--            :swept, :hold       when somebody looked last for who is gone; until when nobody is given up
-- ARGV[1]  what to do, with what follows:
--   arrive gateway user device expiry room…   leave - user device          linger - user device grace
--   join - user device room                   quit - user device room
--     give whether the user came or went by it (1 or 0), and then the rooms of the user
--   beat gateway expiry                       gives 1 if all is as the gateway left it
--   doubt gateway time                        gives the number of devices that end after that time unless they arrive again
--   sweep gap hold limit                      gives whether there is more, and who went, with rooms
--   online asker user…                        gives 1 or 0 for each user; asker '' may see all
-- Times are in milliseconds.
local root, verb = KEYS[1], ARGV[1]
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local gateways, lingering = root .. ':gateways', root .. ':lingering'

local function held_by(gateway) return root .. ':gateway:' .. gateway end
local function devices_of(user) return root .. ':devices:' .. user end
local function rooms_of(user) return root .. ':rooms:' .. user end
local function rooms_at(device) return root .. ':device:' .. device end

local function enter(user, device, room)
  if redis.call('SADD', rooms_at(device), room) == 1 then
    redis.call('HINCRBY', rooms_of(user), room, 1)
  end
end

local function quit(user, device, room)
  if redis.call('SREM', rooms_at(device), room) == 1 and redis.call('HINCRBY', rooms_of(user), room, -1) <= 0 then
    redis.call('HDEL', rooms_of(user), room)
  end
end

-- Gives the rooms of the user whose last device it was.
local function remove(user, device)
  local member = user .. '|' .. device
  redis.call('SREM', held_by(string.match(device, '^(.-)/')), member)
  redis.call('ZREM', lingering, member)
  if redis.call('SREM', devices_of(user), device) == 0 then
    return nil
  end
  if redis.call('EXISTS', devices_of(user)) == 1 then
    for _, room in ipairs(redis.call('SMEMBERS', rooms_at(device))) do
      quit(user, device, room)
    end
    return nil
  end
  local rooms = redis.call('HKEYS', rooms_of(user))
  redis.call('DEL', rooms_of(user), rooms_at(device))
  return rooms
end

if verb == 'arrive' then
  local gateway, user, device = ARGV[2], ARGV[3], ARGV[4]
  redis.call('ZADD', gateways, 'NX', now + ARGV[5], gateway)
  redis.call('SADD', held_by(gateway), user .. '|' .. device)
  redis.call('ZREM', lingering, user .. '|' .. device)
  local came = redis.call('EXISTS', devices_of(user)) == 0
  if redis.call('SADD', devices_of(user), device) == 0 then
    local wanted = {}
    for i = 6, #ARGV do wanted[ARGV[i]] = true end
    for _, room in ipairs(redis.call('SMEMBERS', rooms_at(device))) do
      if not wanted[room] then quit(user, device, room) end
    end
  end
  for i = 6, #ARGV do enter(user, device, ARGV[i]) end
  if came then
    return {1, redis.call('HKEYS', rooms_of(user))}
  end
  return {0, {}}
end

if verb == 'leave' then
  local rooms = remove(ARGV[3], ARGV[4])
  return {rooms and 1 or 0, rooms or {}}
end

if verb == 'linger' then
  if redis.call('SISMEMBER', devices_of(ARGV[3]), ARGV[4]) == 1 then
    redis.call('ZADD', lingering, now + ARGV[5], ARGV[3] .. '|' .. ARGV[4])
  end
  return {0, {}}
end

if verb == 'join' or verb == 'quit' then
  if redis.call('SISMEMBER', devices_of(ARGV[3]), ARGV[4]) == 1 then
    if verb == 'join' then enter(ARGV[3], ARGV[4], ARGV[5]) else quit(ARGV[3], ARGV[4], ARGV[5]) end
  end
  return {0, {}}
end

if verb == 'beat' then
  local kept = tonumber(redis.call('ZSCORE', gateways, ARGV[2]) or 0) > now
  redis.call('ZADD', gateways, now + ARGV[3], ARGV[2])
  kept = redis.call('SADD', held_by(ARGV[2]), '*') == 0 and kept
  return kept and 1 or 0
end

if verb == 'doubt' then
  local doubted = 0
  for _, member in ipairs(redis.call('SMEMBERS', held_by(ARGV[2]))) do
    if member ~= '*' then
      doubted = doubted + redis.call('ZADD', lingering, 'NX', now + ARGV[3], member)
    end
  end
  return doubted
end

if verb == 'sweep' then
  local gap, hold, limit = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
  local swept = tonumber(redis.call('GET', root .. ':swept') or 0)
  redis.call('SET', root .. ':swept', now, 'PX', 3600000)
  if math.abs(now - swept) > gap then
    redis.call('SET', root .. ':hold', now + hold, 'PX', math.max(hold, 1))
  end
  if tonumber(redis.call('GET', root .. ':hold') or 0) > now then
    return {0, {}}
  end
  local went, looked = {}, 0
  -- A user's id is 36 characters.
  local function give_up(member)
    looked = looked + 1
    local user = string.sub(member, 1, 36)
    local rooms = remove(user, string.sub(member, 38))
    if rooms then went[#went + 1] = {user, rooms} end
  end
  for _, member in ipairs(redis.call('ZRANGEBYSCORE', lingering, '-inf', now, 'LIMIT', 0, limit)) do
    give_up(member)
  end
  for _, gateway in ipairs(redis.call('ZRANGEBYSCORE', gateways, '-inf', now)) do
    redis.call('SREM', held_by(gateway), '*')
    if looked < limit then
      for _, member in ipairs(redis.call('SPOP', held_by(gateway), limit - looked)) do
        give_up(member)
      end
    end
    if redis.call('EXISTS', held_by(gateway)) == 0 then
      redis.call('ZREM', gateways, gateway)
    end
  end
  return {looked >= limit and 1 or 0, went}
end

if verb == 'online' then
  local asker, answers = ARGV[2], {}
  local rooms = asker ~= '' and redis.call('HKEYS', rooms_of(asker)) or {}
  local function shares(user)
    -- Lua can't pass any number of arguments at once.
    for from = 1, #rooms, 1000 do
      local counts = redis.call('HMGET', rooms_of(user), unpack(rooms, from, math.min(from + 999, #rooms)))
      for _, count in ipairs(counts) do
        if count then return true end
      end
    end
    return false
  end
  for i = 3, #ARGV do
    local user = ARGV[i]
    local online = redis.call('EXISTS', devices_of(user)) == 1 and (asker == '' or shares(user))
    answers[#answers + 1] = online and 1 or 0
  end
  return answers
end

return redis.error_reply('ERR there is no ' .. verb)
