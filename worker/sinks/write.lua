-- Writes a batch of ratings and deletions, each fenced by its source position: an older position never overwrites a
-- newer one, the same position twice counts once, and the later decision on it stays: a crash between Redis and the
-- commit leaves a rating that nobody published, perhaps another bundle's. Atomic, one call a batch;
-- worker/sinks/redis.py is the only caller.
--
-- KEYS     per operation: rating key, deletion marker; then one summary key per app (standalone only)
-- ARGV[1]  JSON: [{"fields": [name, value, ...] or null for a deletion, "rated_at": UTC or null, "position": [topic,
--          topic id, partition, offset, timestamp ms], "star": label, "summary": index into KEYS or 0}, ...]
-- ARGV[2]  life of a rating in seconds, 0 for ever
-- ARGV[3]  life of a deletion marker in seconds
-- Returns  one string: per operation 'w' written, 'd' deleted, 's' stale, 'r' replay (the same position again)
local SOURCE = {'source_topic', 'source_topic_id', 'source_partition', 'source_offset', 'source_timestamp_ms'}

-- 1: b is newer than a; 0: the same position; -1: older. Offsets order one partition of one incarnation of a topic.
-- Across partitions (re-keyed, repartitioned) or incarnations (deleted and created again) only time can tell.
local function compare(a, b)
  if a[1] == b[1] and a[2] == b[2] and tonumber(a[3]) == b[3] then
    local old, new = tonumber(a[4]), b[4]
    return new > old and 1 or (new == old and 0 or -1)
  end
  local old, new = tonumber(a[5]), b[5]
  if new ~= old then return new > old and 1 or -1 end
  return b[4] >= tonumber(a[4]) and 1 or -1
end

local function count(key, star, by)
  redis.call('HINCRBY', key, 'count', by)
  redis.call('HINCRBY', key, 'sum', by * tonumber(star))
  redis.call('HINCRBY', key, 'count:' .. star, by)
end

local operations = cjson.decode(ARGV[1])
local rating_ttl, marker_ttl = tonumber(ARGV[2]), tonumber(ARGV[3])
local results = {}
for number, operation in ipairs(operations) do
  local key, marker = KEYS[number * 2 - 1], KEYS[number * 2]
  local stored = redis.call('HMGET', key, SOURCE[1], SOURCE[2], SOURCE[3], SOURCE[4], SOURCE[5], 'summary', 'rating',
    'rated_at')
  local fence = stored[4] and stored or redis.call('HMGET', marker, SOURCE[1], SOURCE[2], SOURCE[3], SOURCE[4], SOURCE[5])
  local order = fence[4] and compare(fence, operation.position) or 1
  local again = order == 0 and stored[8] and operation.rated_at ~= cjson.null and operation.rated_at > stored[8]
  if order < 1 and not again then
    results[number] = order == 0 and 'r' or 's'
  else
    -- What this review counted for until now is taken back, in the summary that it was counted in.
    if stored[6] and stored[6] ~= '' then count(stored[6], stored[7], -1) end
    if operation.fields == cjson.null then
      redis.call('DEL', key)
      local position = {}
      for index, value in ipairs(operation.position) do
        position[#position + 1] = SOURCE[index]
        position[#position + 1] = value
      end
      redis.call('HSET', marker, unpack(position))
      redis.call('EXPIRE', marker, marker_ttl)
      results[number] = 'd'
    else
      redis.call('HSET', key, unpack(operation.fields))
      if operation.summary > 0 then
        redis.call('HSET', key, 'summary', KEYS[operation.summary])
        count(KEYS[operation.summary], operation.star, 1)
      else
        redis.call('HDEL', key, 'summary')
      end
      if rating_ttl > 0 then redis.call('EXPIRE', key, rating_ttl) else redis.call('PERSIST', key) end
      if not stored[4] then redis.call('DEL', marker) end
      results[number] = again and 'r' or 'w'
    end
  end
end
return table.concat(results)
