-- What the scripts share: positions and their order, and how summaries and trends are added up. `servers` puts it before
-- each of them: `write.lua` and, in a cluster, `count.lua` and `settle.lua`. Their first arguments are the same:
--
-- ARGV[1]  what every key begins with
-- ARGV[2]  the oldest hour of a trend, the first of a day; older ones have expired
-- ARGV[3]  seconds from now until the trend of the first day of 1970 expires, a negative number
-- Globals are looked up by name at each use; locals are not.
local call, sub, match, find, floor, format = redis.call, string.sub, string.match, string.find, math.floor, string.format
local tonumber, unpack = tonumber, unpack
local try = redis.pcall
local prefix, summary, trend = ARGV[1], ARGV[1] .. 'summary:{', ARGV[1] .. 'trend:{'
local oldest, expires = tonumber(ARGV[2]), tonumber(ARGV[3])

-- Topic, topic id, partition, offset, time and `counted`; nothing if the text is no position.
local function parts(position) return match(position, '^([^:]*):([^:]*):(%d+):(%d+):(%-?%d+):([^:]*)$') end

-- A position's text without `counted`, of its parts.
local function place_of(at) return at[1] .. ':' .. at[2] .. ':' .. at[3] .. ':' .. at[4] .. ':' .. (at[5] or 0) .. ':' end

-- Whether an answer says that its key is of another program. No retry helps against that, so no record waits for it.
local FOREIGN, foreign = {}, {}
local function is_foreign(answer, key)
  local text = type(answer) == 'table' and answer.err
  if not text or not (find(text, 'WRONGTYPE', 1, true) or find(text, 'not an integer', 1, true)
    or find(text, 'would overflow', 1, true)) then return false end
  foreign[#foreign + 1] = key
  return true
end

-- Calls a function; returns its error, nothing if it has none.
local function error_of(act)
  local done, problem = pcall(act)
  if not done then return type(problem) == 'string' and {err = problem} or problem end
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
-- Across partitions (re-keyed, repartitioned) or topic ids (deleted and created again) only the timestamps can. Where all
-- that is the same the partition and the topic decide, so that any order of arrival ends with the same record.
local function compare(a, b)
  local old, new, old_time, new_time = tonumber(a[4]), tonumber(b[4]), tonumber(a[5]), tonumber(b[5])
  local same_place = a[1] == b[1] and tonumber(a[3]) == tonumber(b[3])
  -- A restored position has no id: at the same place, of the same time, it is the same record.
  if (a[2] == '' or b[2] == '') and same_place and old == new and old_time == new_time then return 0 end
  if same_place and sub(a[2], 1, 8) == sub(b[2], 1, 8) then return new > old and 1 or (new == old and 0 or -1) end
  if new_time ~= old_time then return new_time > old_time and 1 or -1 end
  if new ~= old then return new > old and 1 or -1 end
  if tonumber(a[3]) ~= tonumber(b[3]) then return tonumber(b[3]) > tonumber(a[3]) and 1 or -1 end
  return b[1] >= a[1] and 1 or -1
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

-- Ends the call before anything is written that could not be counted: a repetition would take it for counted. Asked once a
-- call, of a key that no app has; Redis 6.2 has no question, so it tries.
local asked, no_app = {}, '}' -- what ends the key
local function require_right(kind)
  if asked[kind] then return end
  asked[kind] = true
  local key = kind .. no_app
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

-- Counts what was added up, and returns the first error: one in one summary does not stop the others.
local failed
local function ask(command, key, ...)
  local answer = try(command, key, ...)
  if type(answer) == 'table' and answer.err and not is_foreign(answer, key) then failed = failed or answer end
  return answer
end
local function add(key, field, by) return by ~= 0 and ask('HINCRBY', key, field, by) end

-- The cells of each day, of those of each hour.
local function days_of(hours)
  local days = {}
  for hour, versions in pairs(hours) do
    local day = hour == 'o' and hour or floor(hour / 24)
    local begin = hour == 'o' and '' or format('%02d:', hour % 24)
    for version, stars in pairs(versions) do
      for star, by in pairs(stars) do within(days, day)[begin .. version .. ':' .. star] = by end
    end
  end
  return days
end
local function trend_key(app, day) return trend .. app .. '}:' .. (day == 'o' and 'outside' or date(day)) end

local function count_all()
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

  for app, hours in pairs(trends) do
    for day, cells in pairs(days_of(hours)) do
      local key = trend_key(app, day)
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
end
