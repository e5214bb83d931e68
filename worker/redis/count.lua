-- The second step in a cluster: brings the summary and trends of one app into line with its reviews' ratings, which are in
-- other slots. `write.lua` says what Redis has of a review now; the note of each review that the app counts says what it
-- counts it as. A note is fenced as a rating is, by position and then by the time of rating, so the same step again changes
-- nothing, an older one that comes late is refused, and one that never came is made up for by the next. Notes outlive their
-- ratings by a deletion marker's time, so that clocks of two servers that differ make no review count twice.
-- `worker/redis/app_counts.py` is the only caller.
--
-- KEYS[1]  the app's summary
-- then     the note of each review, `counted:{<app id>}:<review id>`
-- ARGV[1]  to ARGV[3] as `shared.lua` has them
-- ARGV[4]  the app
-- ARGV[5]  seconds until a rating expires, 0: never
-- ARGV[6]  seconds for which a review is remembered that the app does not count any more
-- then     what each note is to be: position with `counted`, time of rating, stars, version and labels, '\0' between them
-- Returns  the names of the keys of other programs, '\0' before each
local FIRST = 7
local app, kept_s, removed_s = ARGV[4], tonumber(ARGV[5]), tonumber(ARGV[6])
no_app = app .. '}:' -- a key that no app has, in the slot of this one

-- Position, time of rating, stars, version and labels; nothing if the text is no note.
local function read_note(text) return match(text, '^(%Z*)%z(%Z*)%z(%Z*)%z(%Z*)%z(%Z*)$') end

local function take(by, position, _, star, version, labels)
  local counted = find(position, '+', 1, true)
  if not counted then return end
  require_rights(counted < #position)
  count(within(sums, summary .. app .. '}'), star, labels, by)
  count_in_trend(app, sub(position, counted + 1), version, star, labels, by)
end

local notes = {}
local function compare_with(key, new)
  local old = notes[key] or try('GET', key)
  if is_foreign(old, key) then return end
  if type(old) == 'table' then error(old) end
  local position, time = read_note(new)
  if old then
    local old_position, old_time = read_note(old)
    if not old_position then
      foreign[#foreign + 1] = key
      return
    end
    local order = compare({parts(old_position)}, {parts(position)})
    if order < 0 or order == 0 and time <= old_time then return end
    take(-1, read_note(old))
  end
  take(1, read_note(new))
  notes[key] = new
end

-- While a slot moves, a day's key may be on the other server already. Nothing is written before all are known to be here.
local function require_keys()
  for day in pairs(days_of(trends[app] or {})) do
    local key = trend_key(app, day)
    local answer = try('EXISTS', key)
    if type(answer) == 'table' then
      if find(answer.err, 'non local key', 1, true) then error({err = 'TRYAGAIN the slot is moving: ' .. key}) end
      error(answer)
    end
  end
end

local problem = error_of(function()
  for number = 2, #KEYS do compare_with(KEYS[number], ARGV[FIRST + number - 2]) end
  require_keys()
  for key, text in pairs(notes) do
    local seconds = find(text, '^%Z*%+') and (kept_s > 0 and kept_s + removed_s or 0) or removed_s
    if seconds > 0 then call('SET', key, text, 'EX', seconds) else call('SET', key, text) end
  end
end)
if problem then return problem end
count_all()
return failed or (#foreign == 0 and '' or '\0' .. table.concat(foreign, '\0'))
