/** The kinds of traffic that are compared. A request of TCP is one message there and back. */

export type KindName = "http" | "http-64k" | "grpc" | "tcp";

export interface Kind {
  readonly name: KindName;
  readonly title: string;
  /** Port of the application, and of the Service. */
  readonly port: number;
  /** Options of the load generator (bench/programs/load.c); 32 requests are under way in each. */
  readonly load: readonly string[];
}

export const kinds: readonly Kind[] = [
  {
    name: "http",
    title: "HTTP/1.1, 128 B bodies",
    port: 8080,
    load: ["-p", "http", "-u", "/small", "-e", "128", "-c", "32"],
  },
  {
    name: "http-64k",
    title: "HTTP/1.1, 64 KiB bodies",
    port: 8080,
    load: ["-p", "http", "-u", "/large", "-e", "65536", "-c", "32"],
  },
  {
    name: "grpc",
    title: "gRPC unary, 64 B and 128 B messages",
    port: 9090,
    load: ["-p", "grpc", "-u", "/bench.Bench/Call", "-e", "128", "-c", "4", "-m", "8"],
  },
  {
    name: "tcp",
    title: "TCP, 1 KiB messages",
    port: 7000,
    load: ["-p", "tcp", "-e", "1024", "-c", "32"],
  },
];
