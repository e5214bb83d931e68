-- Writes ratings and deletions, each fenced by its source position: an older position never overwrites a newer one, and
-- the same position twice counts once. Of two ratings of the same position the one rated later stays, because a crash
-- between Redis and the commit leaves a rating that was not published, perhaps from another bundle. A call is atomic; a
-- batch takes several calls. worker/redis/call.py is the only caller; schemas/output/rating_hash.py describes the two forms of a
-- hash. Either is read here, and what is written is what the caller sends.
--
-- KEYS     per operation: rating key, deletion marker (the rating key again if no other key is in its slot)
-- ARGV[1]  seconds until a rating expires, 0: never
-- ARGV[2]  seconds until a deletion marker expires
-- ARGV[3]  what every key begins with
-- ARGV[4]  the form that is written: 1, or 2 with the field `source`
-- ARGV[5]  the oldest hour of a trend, the first of a day; older ones have expired
-- ARGV[6]  seconds from now until the trend of the first day of 1970 expires, a negative number
-- ARGV[7]  how many fields all ratings of the call have the same; then the name and value of each
-- then     how many other fields there are; then their names, `rating` first
-- then     per operation: its position `topic:topic id:partition:offset:time ms:counted`, then its values of the other
--          fields, '\0' where it has none; a deletion has no `rating`. Form 2 has the first eight letters of the id.
--          `counted` is '+' if the summary counts it, and then the hour of the trend that does: hours since 1970, or
--          'o' for those outside its life
-- Returns  one string: per operation 'w' written, 'd' deleted, 's' stale, 'r' replay (the same position again), 'x'
--          refused, because another program keeps something else under the rating's key; then '\0' and the name of each
--          such key, also of markers, summaries and trends, which cost no rating
local ABSENT = '\0'
local LONGEST = 64 -- bytes: a longer value doubles what Redis needs for the hash (hash-max-listpack-value)
local GROUP = 16 -- operations for which one EXISTS asks whether any key is there; most reviews are new
-- Globals are looked up by name at each use; locals are not.
local call, sub, match, find, floor, format = redis.call, string.sub, string.match, string.find, math.floor, string.format
local tonumber, unpack = tonumber, unpack
local try = redis.pcall

local rating_ttl, marker_ttl, packed = ARGV[1], ARGV[2], ARGV[4] == '2'
local summary, trend, oldest, expires = ARGV[3] .. 'summary:{', ARGV[3] .. 'trend:{', tonumber(ARGV[5]), tonumber(ARGV[6])
-- The arguments of HSET, names and values alternating: first what all ratings share, then the others.
local fields, shared = {}, 2 * tonumber(ARGV[7])
for at = 1, shared do fields[at] = ARGV[7 + at] end
local size, names, first = tonumber(ARGV[shared + 8]), {}, shared + 9
for at = 1, size do names[at] = ARGV[first - 1 + at] end
first = first + size

-- What gives the value of a field in the operation that begins at ARGV[at].
local function value_of(name)
  for number = 1, size do if names[number] == name then return function(at) return ARGV[at + number] end end end
  for number = 1, shared, 2 do
    if fields[number] == name then
      local text = fields[number + 1]
      return function() return text end
    end
  end
  return function() return ABSENT end
end
local app_of, version_of, time_of = value_of('app_id'), value_of('app_version'), value_of('rated_at')
local labels_of = value_of('labels')

-- Topic, topic id, partition, offset, time and `counted`; nothing if the text is no position.
local function parts(position) return match(position, '^([^:]*):([^:]*):(%d+):(%d+):(%-?%d+):([^:]*)$') end

-- Puts the position into the arguments of HSET, behind the first `last`; a long topic gets a field of its own.
local function put_position(arguments, last, position)
  arguments[last + 1], arguments[last + 2] = 'source', position
  if #position <= LONGEST then return last + 2 end
  local topic, rest = match(position, '^([^:]*)(:.*)$')
  arguments[last + 2], arguments[last + 3], arguments[last + 4] = rest, 'source_topic', topic
  return last + 4
end

-- Whether an answer says that its key is of another program. No retry helps against that, so no record waits for it.
local FOREIGN, foreign = {}, {}
local function is_foreign(answer, key)
  local text = type(answer) == 'table' and answer.err
  if not text or not (find(text, 'WRONGTYPE', 1, true) or find(text, 'not an integer', 1, true)
    or find(text, 'would overflow', 1, true)) then return false end
  foreign[#foreign + 1] = key
  return true
end

-- The position of a hash; its stars, its time, the key of the summary that counts it, the app, hour and version of the
-- trend that does, and its labels. A hash of both forms was written in form 1 last, by an older release.
local function read(key)
  local found = try('HMGET', key, 'source_offset', 'source', 'rating', 'rated_at', 'app_id', 'app_version', 'labels')
  if is_foreign(found, key) then return FOREIGN end
  if found.err then error(found) end
  if found[1] then
    local old = call('HMGET', key, 'source_topic', 'source_topic_id', 'source_partition', 'source_timestamp_ms', 'summary')
    local summarised = old[5] ~= '' and old[5]
    return {old[1], old[2] or '', old[3], found[1], old[4]}, found[3], found[4], summarised, nil, nil, nil, found[7]
  end
  local topic, id, partition, offset, time, counted = parts(found[2] or '')
  if not topic then return nil end
  if topic == '' then topic = call('HMGET', key, 'source_topic')[1] end
  local position = {topic, id, partition, offset, time}
  if sub(counted, 1, 1) ~= '+' or not found[5] then return position, found[3], found[4] end
  return position, found[3], found[4], summary .. found[5] .. '}', found[5], sub(counted, 2), found[6] or '', found[7]
end

-- 1: b is newer than a; 0: the same position; -1: older. Offsets order the records of one partition and topic id.
-- Across partitions (re-keyed, repartitioned) or topic ids (deleted and created again) only the timestamps can.
local function compare(a, b)
  local old, new, old_time, new_time = tonumber(a[4]), tonumber(b[4]), tonumber(a[5]), tonumber(b[5])
  local same_place = a[1] == b[1] and tonumber(a[3]) == tonumber(b[3])
  -- A restored position has no id: at the same place, of the same time, it is the same record.
  if (a[2] == '' or b[2] == '') and same_place and old == new and old_time == new_time then return 0 end
  if same_place and sub(a[2], 1, 8) == sub(b[2], 1, 8) then return new > old and 1 or (new == old and 0 or -1) end
  if new_time ~= old_time then return new_time > old_time and 1 or -1 end
  return new >= old and 1 or -1
end

-- Summaries and trends are added up here and written once at the end, because most reviews of a batch belong to few apps.
local sums, trends = {}, {}
local function within(counts, name)
  local found = counts[name]
  if not found then
    found = {}
    counts[name] = found
  end
  return found
end
-- A rating counts as its stars. One of a label model has none: it counts as `labels`, and as each label with a # before it.
local function count(cells, star, labels, by)
  if star ~= '' then
    cells[star] = (cells[star] or 0) + by
    return
  end
  cells.labels = (cells.labels or 0) + by
  local read_well, given = pcall(cjson.decode, labels or '')
  if not read_well or type(given) ~= 'table' then return end
  for name in pairs(given) do cells['#' .. name] = (cells['#' .. name] or 0) + by end
end
local function count_in_trend(app, hour, version, star, labels, by)
  if hour == 'o' or hour ~= '' and tonumber(hour) >= oldest then
    count(within(within(within(trends, app), hour), version), star, labels, by)
  end
end

-- Ends the call before a rating is written that could not be counted: a repetition would take it for counted. Asked once a
-- call, of a key that no app has; Redis 6.2 has no question, so it tries.
local asked = {}
local function require_right(kind)
  if asked[kind] then return end
  asked[kind] = true
  local key = kind .. '}'
  if redis.acl_check_cmd then
    if redis.acl_check_cmd('HINCRBY', key, 'count', '0') then return end
    error({err = 'NOPERM this user has no right to HINCRBY on ' .. key})
  end
  local answer = try('HINCRBY', key, 'count', 0)
  if answer == 0 then try('DEL', key)
  elseif type(answer) == 'table' and not is_foreign(answer, key) then error(answer) end
end

local function require_rights(has_trend)
  require_right(summary)
  if has_trend then require_right(trend) end
end

local results, written = {}, {}
local function write(number, at, none_stored)
  local key, marker, position, star = KEYS[number * 2 - 1], KEYS[number * 2], ARGV[at], ARGV[at + 1]
  local deletes = star == ABSENT
  local counted = not deletes and find(position, '+', 1, true)
  local fence, old_star, old_time, old_summary, old_app, old_hour, old_version, old_labels, marked, again
  if not none_stored or written[key] then
    fence, old_star, old_time, old_summary, old_app, old_hour, old_version, old_labels = read(key)
    if fence == FOREIGN then
      results[number] = 'x'
      return
    end
    if not fence and marker ~= key then
      fence = read(marker)
      if fence == FOREIGN then fence = nil end
      marked = fence
    end
    if fence then
      local order = compare(fence, {parts(position)})
      again = order == 0 and old_time and not deletes and time_of(at) > old_time
      if order < 1 and not again then
        results[number] = order == 0 and 'r' or 's'
        return
      end
    end
    if old_summary then require_right(summary) end
    if counted then require_rights(counted < #position) end
    call('DEL', key) -- fields of the other form, and those that are not known any more
    if marked then call('DEL', marker) end
  end
  if counted then require_rights(counted < #position) end
  written[key] = true
  if deletes then
    local answer
    if packed then
      local arguments = {}
      answer = try('HSET', marker, unpack(arguments, 1, put_position(arguments, 0, position)))
    else
      local topic, id, partition, offset, time = parts(position)
      answer = try('HSET', marker, 'source_topic', topic, 'source_topic_id', id, 'source_partition', partition,
        'source_offset', offset, 'source_timestamp_ms', time)
    end
    if not is_foreign(answer, marker) then
      if type(answer) == 'table' then error(answer) end
      call('EXPIRE', marker, marker_ttl)
    end
    results[number] = 'd'
  else
    local last = packed and put_position(fields, shared, position) or shared
    for other = 1, size do
      local text = ARGV[at + other]
      if text ~= ABSENT then
        fields[last + 1], fields[last + 2], last = names[other], text, last + 2
      end
    end
    call('HSET', key, unpack(fields, 1, last))
    if rating_ttl ~= '0' then call('EXPIRE', key, rating_ttl) end
    if counted then
      local app, version = app_of(at), version_of(at)
      local labels = labels_of(at)
      count(within(sums, summary .. app .. '}'), star, labels, 1)
      count_in_trend(app, sub(position, counted + 1), version ~= ABSENT and version or '', star, labels, 1)
    end
    results[number] = again and 'r' or 'w'
  end
  if old_summary then count(within(sums, old_summary), old_star, old_labels, -1) end
  if old_app then count_in_trend(old_app, old_hour, old_version, old_star, old_labels, -1) end
end

local function write_all()
  local none_stored
  for number = 1, #KEYS / 2 do
    if number % GROUP == 1 then
      -- A user without the right to ask so gets an error, and each key is looked up.
      none_stored = try('EXISTS', unpack(KEYS, number * 2 - 1, math.min((number + GROUP - 1) * 2, #KEYS))) == 0
    end
    write(number, first + (number - 1) * (size + 1), none_stored)
  end
end

-- Count what was written even if something else could not be: an error in one summary does not stop the others, and an
-- error in a rating does not stop the summaries.
local done, failed = pcall(write_all)
if done then failed = nil elseif type(failed) == 'string' then failed = {err = failed} end
local function ask(command, key, ...)
  local answer = try(command, key, ...)
  if type(answer) == 'table' and answer.err and not is_foreign(answer, key) then failed = failed or answer end
  return answer
end
local function add(key, field, by) return by ~= 0 and ask('HINCRBY', key, field, by) end
for key, stars in pairs(sums) do
  local reviews, sum = 0, 0
  for star, by in pairs(stars) do
    local number = tonumber(star)
    if number or star == 'labels' then reviews, sum = reviews + by, sum + by * (number or 0) end
    add(key, 'count:' .. star, by)
  end
  ask('HINCRBY', key, 'count', reviews) -- also by 0, so that a right that is missing is an error at every repetition
  add(key, 'sum', sum)
end

-- The date of a day since 1970 (Howard Hinnant's civil_from_days).
local function date(day)
  local era = floor((day + 719468) / 146097)
  local of_era = day + 719468 - era * 146097
  local year = floor((of_era - floor(of_era / 1460) + floor(of_era / 36524) - floor(of_era / 146096)) / 365)
  local of_year = of_era - (365 * year + floor(year / 4) - floor(year / 100))
  local shifted = floor((5 * of_year + 2) / 153)
  local month = shifted < 10 and shifted + 3 or shifted - 9
  year = year + era * 400 + (month <= 2 and 1 or 0)
  return format('%04d-%02d-%02d', year, month, of_year - floor((153 * shifted + 2) / 5) + 1)
end

for app, hours in pairs(trends) do
  local days = {}
  for hour, versions in pairs(hours) do
    local day = hour == 'o' and hour or floor(hour / 24)
    local begin = hour == 'o' and '' or format('%02d:', hour % 24)
    for version, stars in pairs(versions) do
      for star, by in pairs(stars) do within(days, day)[begin .. version .. ':' .. star] = by end
    end
  end
  for day, cells in pairs(days) do
    local key = trend .. app .. '}:' .. (day == 'o' and 'outside' or date(day))
    local fewer, begun = false, false
    for _, by in pairs(cells) do fewer = fewer or by < 0 end
    -- A trend that was deleted or evicted has forgotten the reviews that would be subtracted from it.
    local forgotten = fewer and ask('EXISTS', key) == 0
    for cell, by in pairs(cells) do
      if by > 0 or not forgotten then begun = add(key, cell, by) == by or begun end
    end
    if begun and day ~= 'o' then ask('EXPIRE', key, day * 86400 + expires) end -- a new field: perhaps the key is new
  end
end
local said = table.concat(results)
return failed or (#foreign == 0 and said or said .. '\0' .. table.concat(foreign, '\0'))
