-- Reads scenarios as JSON from standard input, one a line, and writes what the compiled logic makes of each.

local decode

local function skip(text, at)
  return text:find("[^ ]", at) or #text + 1
end

local escapes = { ['"'] = '"', ["\\"] = "\\", ["/"] = "/", n = "\n", t = "\t", r = "\r", b = "\b", f = "\f" }

local function decode_string(text, at)
  local parts = {}
  while true do
    local stop = text:find('["\\]', at)
    parts[#parts + 1] = text:sub(at, stop - 1)
    if text:sub(stop, stop) == '"' then
      return table.concat(parts), stop + 1
    end
    parts[#parts + 1] = assert(escapes[text:sub(stop + 1, stop + 1)], "unknown escape")
    at = stop + 2
  end
end

local function decode_list(text, at)
  local list = {}
  at = skip(text, at)
  while text:sub(at, at) ~= "]" do
    list[#list + 1], at = decode(text, at)
    at = skip(text, at)
    if text:sub(at, at) == "," then
      at = skip(text, at + 1)
    end
  end
  return list, at + 1
end

local function decode_object(text, at)
  local object = {}
  at = skip(text, at)
  while text:sub(at, at) ~= "}" do
    local name
    name, at = decode_string(text, at + 1)
    object[name], at = decode(text, skip(text, at) + 1)
    at = skip(text, at)
    if text:sub(at, at) == "," then
      at = skip(text, at + 1)
    end
  end
  return object, at + 1
end

function decode(text, at)
  at = skip(text, at)
  local first = text:sub(at, at)
  if first == "{" then
    return decode_object(text, at + 1)
  elseif first == "[" then
    return decode_list(text, at + 1)
  elseif first == '"' then
    return decode_string(text, at + 1)
  elseif text:sub(at, at + 3) == "true" then
    return true, at + 4
  elseif text:sub(at, at + 4) == "false" then
    return false, at + 5
  end
  local _, stop, number = text:find("^([-+.eE0-9]+)", at)
  return assert(tonumber(number), "not JSON: " .. text:sub(at, at + 20)), stop + 1
end

local function encode(value)
  if type(value) == "number" then
    return string.format("%.17g", value)
  elseif type(value) == "string" then
    return '"' .. value:gsub('[%c"\\]', function(c) return string.format("\\u%04x", c:byte()) end) .. '"'
  end
  local parts = {}
  for i = 1, #value do
    parts[i] = encode(value[i])
  end
  return "[" .. table.concat(parts, ",") .. "]"
end

local logic = { wireKeys = require("wire.keys") }
for _, name in ipairs({
  "address", "balancer", "exposition", "housekeeping", "incoming", "keys", "mesh", "outgoing", "publication", "route",
  "settle", "statistics",
}) do
  logic[name] = require("sidecar.logic." .. name)
end
local scenarios = require("test.lua.scenarios")

for line in io.lines() do
  local result = scenarios.run(logic, (decode(line, 1)))
  io.write('{"values":', encode(result.values), ',"texts":', encode(result.texts), "}\n")
end
