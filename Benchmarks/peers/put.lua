-- Requests of wrk: parts of uploads (parts TOKEN UPLOAD...), or files (files). Each thread has paths of its own.

local threads = 0

function setup(thread)
  thread:set('thread', threads)
  threads = threads + 1
end

local body = string.rep('0123456789abcdef', 256)
-- As many as an upload may have.
local bound = 50000
local count = 0
local headers, uploads, paths = { ['Content-Type'] = 'application/octet-stream' }, {}, nil

function init(arguments)
  if arguments[1] == 'parts' then
    headers['Authorization'] = 'Bearer ' .. arguments[2]
    -- Two threads share the uploads out.
    for i = 3 + thread, #arguments, 2 do uploads[#uploads + 1] = arguments[i] end
    paths = function()
      return '/v1/uploads/' .. uploads[1 + math.floor(count / bound)] .. '/parts/' .. (1 + count % bound)
    end
  else
    paths = function() return '/files/' .. thread .. '-' .. count end
  end
end

function request()
  local path = paths()
  count = count + 1
  return wrk.format('PUT', path, headers, body)
end
