/** What is used of the Lua module's interface (lua-nginx-module and lua-resty-core documentation). */

interface TcpSocket {
  settimeouts(this: TcpSocket, connect: number, send: number, read: number): void;
  /** `port` unless the address is that of a unix socket. */
  connect(
    this: TcpSocket,
    address: string,
    port?: number,
  ): LuaMultiReturn<[number | undefined, string | undefined]>;
  send(this: TcpSocket, data: string | string[]): LuaMultiReturn<[number | undefined, string | undefined]>;
  receive(this: TcpSocket, pattern: "*l" | number): LuaMultiReturn<[string | undefined, string | undefined]>;
  close(this: TcpSocket): void;
}

interface UdpSocket {
  settimeout(this: UdpSocket, milliseconds: number): void;
  setpeername(
    this: UdpSocket,
    host: string,
    port: number,
  ): LuaMultiReturn<[number | undefined, string | undefined]>;
  send(this: UdpSocket, data: string): LuaMultiReturn<[number | undefined, string | undefined]>;
  receive(this: UdpSocket, size: number): LuaMultiReturn<[string | undefined, string | undefined]>;
  close(this: UdpSocket): void;
}

interface SharedDictionary {
  get(this: SharedDictionary, key: string): string | number | undefined;
  set(this: SharedDictionary, key: string, value: string | number): void;
}

interface Thread {
  readonly __thread: never;
}

/** @noSelf */
interface Ngx {
  readonly EMERG: number;
  readonly ALERT: number;
  readonly CRIT: number;
  readonly ERR: number;
  readonly WARN: number;
  readonly NOTICE: number;
  readonly INFO: number;
  readonly DEBUG: number;
  readonly shared: Record<string, SharedDictionary>;
  readonly header: Record<string, string | undefined>;
  readonly var: Record<string, string | undefined>;
  status: number;
  readonly worker: {
    id(this: void): number;
    count(this: void): number;
    pid(this: void): number;
    exiting(this: void): boolean;
  };
  readonly timer: {
    at(
      this: void,
      delay: number,
      callback: (premature: boolean) => void,
    ): LuaMultiReturn<[boolean, string | undefined]>;
  };
  readonly thread: {
    spawn(this: void, body: () => unknown): Thread;
    /** Until one of them ends: what it returned, or false and its error. */
    wait(this: void, ...threads: Thread[]): LuaMultiReturn<[boolean, unknown]>;
    kill(this: void, thread: Thread): void;
  };
  readonly socket: { tcp(this: void): TcpSocket; udp(this: void): UdpSocket };
  readonly re: {
    match(
      this: void,
      subject: string,
      pattern: string,
      options: string,
    ): LuaMultiReturn<[string[] | undefined, string | undefined]>;
  };
  time(): number;
  now(): number;
  update_time(): void;
  crc32_long(text: string): number;
  sleep(seconds: number): void;
  log(level: number, message: string): void;
  say(text: string): void;
  print(text: string): void;
  exit(status: number): void;
  unescape_uri(text: string): string;
}

declare const ngx: Ngx;

/**
 * lua-cjson, the variant that returns errors.
 * @noSelf
 */
interface Cjson {
  encode(value: unknown): string | undefined;
  decode(text: string): LuaMultiReturn<[unknown, string | undefined]>;
}

/** ngx.semaphore of lua-resty-core. */
interface Semaphore {
  wait(this: Semaphore, seconds: number): LuaMultiReturn<[boolean | undefined, string | undefined]>;
  post(this: Semaphore, count?: number): void;
  count(this: Semaphore): number;
}

declare function require(name: "cjson.safe"): Cjson;
declare function require(name: "ngx.semaphore"): { "new"(this: void): LuaMultiReturn<[Semaphore]> };
declare function require(name: "mesh.native"): MeshNative;

/**
 * Functions of the C module, see src/sidecar/module/ngx_mesh_native.c.
 * @noSelf
 */
interface MeshNative {
  register(
    outgoing: (address: string, port: number, waiter: number) => LuaMultiReturn<[number, number]>,
    incoming: (source: string, port: number, waiter: number) => LuaMultiReturn<[number, string | undefined]>,
    closed: (destination: number, edge: number) => void,
    choose: (destination: number, request: unknown, previous: number, now: number) => number,
    failed: (destination: number, endpoint: number, cannotConnect: boolean, now: number) => void,
    finished: (
      destination: number,
      endpoint: number,
      held: boolean,
      status: number,
      connect: number,
      firstByte: number,
      total: number,
      sent: number,
      received: number,
      now: number,
    ) => void,
    peer: (address: string, port: number, identity: string) => number,
    admit: (edge: number, request: unknown, now: number) => number,
    served: (
      edge: number,
      endpoint: number,
      status: number,
      total: number,
      sent: number,
      received: number,
    ) => void,
    reason: (destination: number, code: number) => string,
  ): void;
  resume(waiter: number): void;
  endpoint(address: string, port: number, identity: string): number | undefined;
  release(endpoint: number): void;
  nats(endpoint: number): void;
  svid(chain: string, key: string): boolean;
  bundle(roots: string, trustDomain: string): boolean;
  expiry(certificate: string): number | undefined;
  log_level(level: number): void;
  /** 0 off, 1 default, 2 JSON. */
  access_log(format: number): void;
  client_max_body_size(bytes: number): void;
  idle_limit(seconds: number): void;
  method(request: unknown): string;
  path(request: unknown): string;
  header(request: unknown, name: string): string | undefined;
  connections(): LuaMultiReturn<[number, number]>;
  /** Connections of the application, and what it handles for others. */
  open(): LuaMultiReturn<[number, number]>;
  /** The pod is about to end: callers that are no sidecars are told to go elsewhere. */
  drain(): void;
  /** Full ones that came in, full ones that went out, resumed ones that came in. */
  handshakes(): LuaMultiReturn<[number, number, number]>;
  /** Memory that handshakes have left unused goes back to the kernel; to be called every few seconds. */
  trim(): void;
}
