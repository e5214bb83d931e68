-- Writes ratings and deletions, each fenced by its source position: an older position never overwrites a newer one, and
-- the same position twice counts once. Of two ratings of the same position the one rated later stays, because a crash
-- between Redis and the commit leaves a rating that was not published, perhaps from another bundle. A call is atomic; a
-- batch takes several calls. worker/redis/store.py is the only caller.
--
-- KEYS     per operation: rating key, deletion marker (the rating key again if no other key is in its slot); then one
--          summary key per app (standalone only)
-- ARGV[1]  JSON: [rating as the output topic carries it, or null for a deletion, ...]
-- ARGV[2]  JSON: [index into ARGV[3], partition, offset, timestamp ms, index of the summary into KEYS or 0, ...], five
--          per operation
-- ARGV[3]  JSON: [topic, topic id, ...], two per topic
-- ARGV[4]  seconds until a rating expires, 0: never
-- ARGV[5]  seconds until a deletion marker expires
-- ARGV[6]  JSON: the rating's fields to store, all but its source
-- ARGV[7]  JSON: those that it has only where they are known; the hash then lacks them too
-- Returns  one string: per operation 'w' written, 'd' deleted, 's' stale, 'r' replay (the same position again)
local SOURCE = {'source_topic', 'source_topic_id', 'source_partition', 'source_offset', 'source_timestamp_ms'}

-- 1: b is newer than a; 0: the same position; -1: older. Offsets order the records of one partition and topic id.
-- Across partitions (re-keyed, repartitioned) or topic ids (deleted and created again) only the timestamps can.
local function compare(a, b)
  -- A restored position has no id: at the same place, of the same time, it is the same record.
  if (a[2] == '' or b[2] == '') and a[1] == b[1] and tonumber(a[3]) == b[3] and tonumber(a[4]) == b[4]
    and tonumber(a[5]) == b[5] then
    return 0
  end
  if a[1] == b[1] and a[2] == b[2] and tonumber(a[3]) == b[3] then
    local old, new = tonumber(a[4]), b[4]
    return new > old and 1 or (new == old and 0 or -1)
  end
  local old, new = tonumber(a[5]), b[5]
  if new ~= old then return new > old and 1 or -1 end
  return b[4] >= tonumber(a[4]) and 1 or -1
end

-- Summaries are added up here and written once at the end, because most reviews of a batch belong to few apps.
local sums = {}
local function count(key, star, by)
  local sum = sums[key]
  if not sum then
    sum = {count = 0, sum = 0}
    sums[key] = sum
  end
  local field = 'count:' .. star
  sum.count = sum.count + by
  sum.sum = sum.sum + by * tonumber(star)
  sum[field] = (sum[field] or 0) + by
end

-- Globals are looked up by name at each use; locals are not.
local type, tostring, format, concat, call = type, tostring, string.format, table.concat, redis.call

local function whole(number) return format('%.0f', number) end -- Lua's own has 14 digits

-- A JSON value as the hash holds it; schemas/rating.py reads it back.
local function text(value)
  local kind = type(value)
  if kind == 'string' then return value end
  if kind == 'number' then return value % 1 == 0 and whole(value) or tostring(value) end
  if kind == 'boolean' then return value and '1' or '0' end
  if kind == 'table' then return concat(value, ',') end
  return '' -- null
end

local ratings, numbers, topics = cjson.decode(ARGV[1]), cjson.decode(ARGV[2]), cjson.decode(ARGV[3])
local rating_ttl, marker_ttl, names = tonumber(ARGV[4]), tonumber(ARGV[5]), cjson.decode(ARGV[6])
local known = cjson.decode(ARGV[7])
-- The arguments of HSET, names and values alternating; the same table for every rating.
local fields = {}
for at, name in ipairs(names) do fields[at * 2 - 1] = name end
for at, name in ipairs(SOURCE) do fields[(#names + at) * 2 - 1] = name end
local size = (#names + #SOURCE) * 2
local results = {}
local function write_all()
  for number, rating in ipairs(ratings) do
    local key, marker = KEYS[number * 2 - 1], KEYS[number * 2]
    local at = number * 5 - 4
    local topic, summary = numbers[at], KEYS[numbers[at + 4]]
    local position = {topics[topic * 2 + 1], topics[topic * 2 + 2], numbers[at + 1], numbers[at + 2], numbers[at + 3]}
    local stored = call('HMGET', key, SOURCE[1], SOURCE[2], SOURCE[3], SOURCE[4], SOURCE[5], 'summary', 'rating',
      'rated_at')
    local fence = stored[4] and stored
      or call('HMGET', marker, SOURCE[1], SOURCE[2], SOURCE[3], SOURCE[4], SOURCE[5])
    local order = fence[4] and compare(fence, position) or 1
    local again = order == 0 and stored[8] and rating ~= cjson.null and rating.rated_at > stored[8]
    if order < 1 and not again then
      results[number] = order == 0 and 'r' or 's'
    else
      -- Subtract the previous rating of this review from the summary that it was added to.
      if stored[6] and stored[6] ~= '' then count(stored[6], stored[7], -1) end
      if rating == cjson.null then
        call('DEL', key)
        call('HSET', marker, SOURCE[1], position[1], SOURCE[2], position[2], SOURCE[3], whole(position[3]),
          SOURCE[4], whole(position[4]), SOURCE[5], whole(position[5]))
        call('EXPIRE', marker, marker_ttl)
        results[number] = 'd'
      else
        local star = whole(rating.rating)
        for at = 1, #names do
          local value = rating[names[at]]
          fields[at * 2] = type(value) == 'string' and value or text(value) -- most are, and a call is not free
        end
        fields[size - 8], fields[size - 6], fields[size - 4] = position[1], position[2], whole(position[3])
        fields[size - 2], fields[size] = whole(position[4]), whole(position[5])
        local last = size
        for at = 1, #known do
          local value = rating[known[at]]
          if value ~= nil then
            fields[last + 1], fields[last + 2], last = known[at], text(value), last + 2
          elseif stored[4] then
            call('HDEL', key, known[at])
          end
        end
        if summary then
          fields[last + 1], fields[last + 2], last = 'summary', summary, last + 2
        elseif stored[6] then
          call('HDEL', key, 'summary')
        end
        call('HSET', key, unpack(fields, 1, last))
        if summary then count(summary, star, 1) end
        if rating_ttl > 0 then call('EXPIRE', key, rating_ttl) else call('PERSIST', key) end
        if fence ~= stored and fence[4] and marker ~= key then call('DEL', marker) end
        results[number] = again and 'r' or 'w'
      end
    end
  end
end

-- Count what was written even if something else could not be: an error in one summary does not stop the others, and an
-- error in a rating does not stop the summaries.
local done, failed = pcall(write_all)
if done then failed = nil elseif type(failed) == 'string' then failed = {err = failed} end
for key, sum in pairs(sums) do
  for field, by in pairs(sum) do
    local answer = redis.pcall('HINCRBY', key, field, by)
    if type(answer) == 'table' and answer.err then failed = failed or answer end
  end
end
return failed or table.concat(results)
