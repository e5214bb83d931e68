-- Writes ratings and deletions, each fenced by its source position: an older position never overwrites a newer one, and
-- the same position twice counts once. Of two ratings of the same position the one rated later stays, because a crash
-- between Redis and the commit leaves a rating that was not published, perhaps from another bundle. A call is atomic; a
-- batch takes several calls. worker/redis/call.py is the only caller; schemas/output/rating_hash.py describes the two forms of a
-- hash. Either is read here, and what is written is what the caller sends.
--
-- KEYS     per operation: rating key, deletion marker (the rating key again if no other key is in its slot)
-- ARGV[1]  to ARGV[3] as `shared.lua` has them
-- ARGV[4]  seconds until a rating expires, 0: never
-- ARGV[5]  seconds until a deletion marker expires
-- ARGV[6]  the form that is written: 1, or 2 with the field `source`
-- ARGV[7]  '1' in a cluster: nothing is counted here, because an app's keys are in another slot; a call has one operation
-- ARGV[8]  how many fields all ratings of the call have the same; then the name and value of each
-- then     how many other fields there are; then their names, `rating` first
-- then     per operation: its position `topic:topic id:partition:offset:time ms:counted`, then its values of the other
--          fields, '\0' where it has none; a deletion has no `rating`. Form 2 has the first eight letters of the id.
--          `counted` is '+' if the summary counts it, and then the hour of the trend that does: hours since 1970, or
--          'o' for those that it does not keep
-- Returns  one string: per operation 'w' written, 'd' deleted, 's' stale, 'r' replay (the same position again), 'x'
--          refused, because another program keeps something else under the rating's key; then '\0' and the name of each
--          such key, also of markers, summaries and trends, which cost no rating. In a cluster an array of that string
--          and what `tell` has
local ABSENT = '\0'
local LONGEST = 64 -- bytes: a longer value doubles what Redis needs for the hash (hash-max-listpack-value)
local GROUP = 16 -- operations for which one EXISTS asks whether any key is there; most reviews are new
local rating_ttl, marker_ttl, packed, apart = ARGV[4], ARGV[5], ARGV[6] == '2', ARGV[7] == '1'
-- The arguments of HSET, names and values alternating: first what all ratings share, then the others.
local fields, shared = {}, 2 * tonumber(ARGV[8])
for at = 1, shared do fields[at] = ARGV[8 + at] end
local size, names, first = tonumber(ARGV[shared + 9]), {}, shared + 10
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

-- Puts the position into the arguments of HSET, behind the first `last`; a long topic gets a field of its own.
local function put_position(arguments, last, position)
  arguments[last + 1], arguments[last + 2] = 'source', position
  if #position <= LONGEST then return last + 2 end
  local topic, rest = match(position, '^([^:]*)(:.*)$')
  arguments[last + 2], arguments[last + 3], arguments[last + 4] = rest, 'source_topic', topic
  return last + 4
end

-- In a cluster a second script brings an app's keys into line with what is here (`count.lua`). Whatever the operation did,
-- that script gets what Redis has of the review now; so a repetition after a crash passes on the same, and an older
-- operation what the newer one left. `others` are apps that may still count the review, though it is not theirs any more: those that did
-- are in the field `counted_in`, until `settle.lua` takes them out; and the operation's own app.
local told = {}
local function note(...)
  local texts = {...}
  for number = 1, 5 do texts[number] = texts[number] and texts[number] ~= ABSENT and texts[number] or '' end
  return table.concat(texts, ABSENT)
end
local function tell(key, holder, counted_in, others, app, place, counted, time, star, version, labels)
  others[app] = nil
  local names = {}
  for name in pairs(others) do names[#names + 1] = name end
  if app == '' and #names == 0 then return end
  told = {sub(key, #prefix + 9, -2), app, note(place .. counted, time, star, version, labels), note(place, time),
    holder, counted_in, unpack(names)}
end
local function names_in(list)
  local names = {}
  for _, name in ipairs(list ~= '' and cjson.decode(list) or {}) do names[name] = true end
  return names
end
-- Remembers the apps that counted the review and may still count it; returns the field, empty if there are none.
local function remember(holder, others, app)
  local names = {}
  for name in pairs(others) do if name ~= app then names[#names + 1] = name end end
  if #names == 0 then return '' end
  local list = cjson.encode(names)
  call('HSET', holder, 'counted_in', list)
  return list
end

local results, written = {}, {}
local function write(number, at, none_stored)
  local key, marker, position, star = KEYS[number * 2 - 1], KEYS[number * 2], ARGV[at], ARGV[at + 1]
  local deletes = star == ABSENT
  local own = not deletes and find(position, '+', 1, true)
  local counted = not apart and own
  local fence, old_star, old_time, old_summary, old_app, old_hour, old_version, old_labels, marked, again
  local counted_in, others = '', apart and {}
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
    if fence and apart then
      counted_in = call('HMGET', marked and marker or key, 'counted_in')[1] or ''
      others = names_in(counted_in)
      old_app = old_summary and sub(old_summary, #summary + 1, -2) or ''
    end
    if fence then
      local order = compare(fence, {parts(position)})
      again = order == 0 and old_time and not deletes and time_of(at) > old_time
      if order < 1 and not again then
        results[number] = order == 0 and 'r' or 's'
        if apart then
          if own then others[app_of(at)] = true end
          tell(key, marked and marker or key, counted_in, others, old_app, place_of(fence),
            old_summary and '+' .. (old_hour or '') or '', old_time, old_star, old_version, old_labels)
        end
        return
      end
    end
    if old_summary and not apart then require_right(summary) end
    if apart and old_app ~= '' and fence then others[old_app] = true end
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
      counted_in = apart and remember(marker, others, '') or ''
      if counted_in == '' then call('EXPIRE', marker, marker_ttl)
      elseif rating_ttl ~= '0' then call('EXPIRE', marker, math.max(marker_ttl, rating_ttl)) end
    end
    if apart then tell(key, marker, counted_in, others, '', place_of({parts(position)}), '') end
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
    if apart then
      local app = own and app_of(at) or ''
      tell(key, key, remember(key, others, app), others, app, place_of({parts(position)}),
        own and sub(position, own) or '', time_of(at), star, version_of(at), labels_of(at))
    end
    if counted then
      local app, version = app_of(at), version_of(at)
      local labels = labels_of(at)
      count(within(sums, summary .. app .. '}'), star, labels, 1)
      count_in_trend(app, sub(position, counted + 1), version ~= ABSENT and version or '', star, labels, 1)
    end
    results[number] = again and 'r' or 'w'
  end
  if apart then return end
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

-- Count what was written even if something else could not be: an error in a rating does not stop the summaries.
failed = error_of(write_all)
count_all()
local said = table.concat(results)
if #foreign > 0 then said = said .. '\0' .. table.concat(foreign, '\0') end
return failed or (apart and {said, unpack(told)} or said)
