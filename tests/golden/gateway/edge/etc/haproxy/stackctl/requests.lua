-- Owned by stackctl: edits show as drift and are undone by the next apply.
-- What HAProxy's own converters cannot do: form data (they stop at the first NUL of a file), JSON nested deeper
-- than 19 levels (tool schemas are), and reading a refused request to its end, so that the client sees why.

local find, match, sub, byte = string.find, string.match, string.sub, string.byte
local QUOTE, BACKSLASH, OPEN, OPEN_LIST = byte('"\\{[', 1, -1)

-- Where the string that starts at `start` ends.
local function closing(body, start)
  local at = start
  while true do
    at = find(body, '"', at + 1, true)
    if not at then return nil end
    local before = at - 1
    while byte(body, before) == BACKSLASH do before = before - 1 end
    if (at - before) % 2 == 1 then return at end
  end
end

-- The text at the top-level key `model`.
local function model_of_json(body)
  local depth, at = 0, 0
  while true do
    at = find(body, '["{}%[%]]', at + 1)
    if not at then return nil end
    local kind = byte(body, at)
    if kind == QUOTE then
      local last = closing(body, at)
      if not last then return nil end
      if depth == 1 and sub(body, at, last) == '"model"' then
        local value = match(body, '^%s*:%s*"([^"]*)"', last + 1)
        if value then return value end
      end
      at = last
    elseif kind == OPEN or kind == OPEN_LIST then
      depth = depth + 1
    else
      depth = depth - 1
    end
  end
end

-- The text of the part called `model`.
local function model_of_form(body, boundary)
  local mark = '\r\n--' .. boundary
  body = '\r\n' .. body
  local _, at = find(body, mark, 1, true)
  while at do
    local head, text = find(body, '\r\n\r\n', at + 1, true)
    local start, after = find(body, mark, at + 1, true)
    if not head or not start then return nil end
    local headers = sub(body, at + 1, head + 1)
    local named = match(headers, '[;%s][nN][aA][mM][eE]="?model"?[;\r]')
    if text < start and named then return sub(body, text + 1, start - 1) end
    at = after
  end
end

core.register_fetches('model_of_body', function(txn)
  local body, kind = txn.sf:req_body(), txn.sf:req_hdr('content-type')
  if not find(kind:lower(), '^multipart/form%-data') then return model_of_json(body) or '' end
  local boundary = match(kind, '[bB][oO][uU][nN][dD][aA][rR][yY]="([^"]+)"')
    or match(kind, '[bB][oO][uU][nN][dD][aA][rR][yY]=([^;%s]+)')
  return boundary and model_of_form(body, boundary) or ''
end)

-- Answered before it has sent everything, a client finds its connection reset instead of the answer.
local function refuse(applet, status)
  repeat local piece = applet:receive(65536) until not piece or #piece == 0
  local answer = applet:get_var('txn.refusal') .. '\n'
  applet:set_status(status)
  applet:add_header('content-type', 'application/json')
  applet:add_header('content-length', #answer)
  if status == 401 then applet:add_header('www-authenticate', 'Bearer') end
  applet:start_response()
  applet:send(answer)
end

for _, status in ipairs({401, 413}) do
  core.register_service('refused_' .. status, 'http', function(applet) refuse(applet, status) end)
end
