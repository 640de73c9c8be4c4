-- Keeps with the data how far it has what was done for orders; and only with data that is known to be whole: not with what came
-- after a loss that nobody noticed yet.
--
-- KEYS  1 verified, 2 mark
-- ARGV  1 run of Redis, 2 position
-- Returns 1 if it was kept.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
  return 0
end
redis.call('SET', KEYS[2], ARGV[2])
return 1
