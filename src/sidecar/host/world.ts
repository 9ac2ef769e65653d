/** The logic's view of nginx. */
import type { World } from "../logic/mesh.ts";
import type { RequestView } from "../logic/route.ts";
import type { LogFormat, LogLevel, WorkloadMessage } from "../../wire/messages.ts";

const native = require("mesh.native");

let current: unknown;

/** One view that is used again for each request: only routes with matches look through it. */
const view: RequestView = {
  method: () => native.method(current),
  path: () => native.path(current),
  header: (name) => native.header(current, name),
  matches: (value, expression) => {
    // PCRE, compiled once and kept (option o); the whole value must match
    const [found] = ngx.re.match(value, `^(?:${expression})$`, "jos");
    return found !== undefined;
  },
};

const levels = { info: ngx.INFO, warn: ngx.WARN, error: ngx.ERR };

/** nginx's numbers of the levels (src/core/ngx_log.h). */
const logLevels: Record<LogLevel, number> = {
  emerg: 1,
  alert: 2,
  crit: 3,
  error: 4,
  warn: 5,
  notice: 6,
  info: 7,
  debug: 8,
};

/** The module's numbers of the formats (src/sidecar/module/ngx_mesh.h). */
const accessFormats: Record<LogFormat, number> = { default: 1, json: 2 };

/** Seconds. */
const defaultIdleTimeout = 24 * 3600;

const cjson = require("cjson.safe");
const settingsEntry = "settings";

/** For a worker that takes the place of one that died, in case that NATS cannot be asked then. */
function remember(settings: WorkloadMessage): void {
  const dictionary = ngx.shared["mesh"];
  const text = cjson.encode(settings);
  if (dictionary !== undefined && text !== undefined) {
    dictionary.set(settingsEntry, text);
  }
}

/** The last settings of any worker of this sidecar; undefined when there were none. */
export function lastSettings(): unknown {
  const dictionary = ngx.shared["mesh"];
  const text = dictionary === undefined ? undefined : dictionary.get(settingsEntry);
  if (text === undefined) {
    return undefined;
  }
  const [settings] = cjson.decode(`${text}`);
  return settings;
}

export function createWorld(wake: () => void): World {
  return {
    random: () => math.random(),
    now: () => ngx.now(),
    endpoint: native.endpoint,
    release: native.release,
    resume: native.resume,
    wake,
    request: (pointer) => {
      current = pointer;
      return view;
    },
    configure: (settings) => {
      native.log_level(logLevels[settings.logLevel] ?? logLevels.warn);
      native.access_log(
        settings.accessLog === true ? (accessFormats[settings.logFormat] ?? accessFormats.default) : 0,
      );
      native.client_max_body_size(settings.clientMaxBodySize);
      native.idle_limit(settings.tcpIdleTimeout ?? defaultIdleTimeout);
      remember(settings);
    },
    log: (level, message) => ngx.log(levels[level], `mesh: ${message}`),
  };
}
