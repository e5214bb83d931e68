-- The last step in a cluster: forgets the apps that no longer count a review which is not theirs any more (`counted_in`), unless
-- the review was written again meanwhile. `worker/redis/app_counts.py` is the only caller.
--
-- KEYS[1]  the rating or the deletion marker
-- ARGV[1]  to ARGV[3] as `shared.lua` has them
-- ARGV[4]  its position when the apps took the review out
-- ARGV[5]  its field `counted_in` then
-- ARGV[6]  seconds until a deletion marker expires
local position, star = read(KEYS[1])
if position and position ~= FOREIGN and compare(position, {parts(ARGV[4])}) == 0
  and call('HMGET', KEYS[1], 'counted_in')[1] == ARGV[5] then
  call('HSET', KEYS[1], 'counted_in', '')
  if not star then call('EXPIRE', KEYS[1], ARGV[6]) end
end
return ''
