/** Another reader of the server name in a ClientHello (RFC 8446, section 4.1.2), written to compare with the module's. */

class Refusal extends Error {}

/** Bytes that are taken from the front; taking more than there are throws a refusal. */
class Bytes {
  readonly #bytes: Buffer;
  #at = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  get left(): number {
    return this.#bytes.length - this.#at;
  }

  take(count: number): Buffer {
    if (count > this.left) {
      throw new Refusal("more bytes than there are");
    }
    this.#at += count;
    return this.#bytes.subarray(this.#at - count, this.#at);
  }

  number(size: 1 | 2): number {
    return this.take(size).readUIntBE(0, size);
  }

  /** What follows a length of so many bytes. */
  vector(size: 1 | 2): Bytes {
    return new Bytes(this.take(this.number(size)));
  }
}

function serverName(extension: Bytes): string {
  extension.take(2);
  const type = extension.number(1);
  const length = extension.number(2);
  const name = extension.take(length);
  if (type !== 0) {
    throw new Refusal("no host name");
  }
  return name.toString("latin1");
}

function readHandshake(record: Bytes): string {
  record.take(4 + 2 + 32);
  record.vector(1);
  record.vector(2);
  record.vector(1);
  if (record.left < 2) {
    return "";
  }
  const extensions = record.vector(2);
  while (extensions.left >= 4) {
    const type = extensions.number(2);
    const content = extensions.vector(2);
    if (type === 0) {
      return serverName(content);
    }
  }
  return "";
}

/** "AGAIN" when more bytes are needed, "DECLINED" when it is no ClientHello, else "OK" and the name. */
export function readHello(bytes: Buffer): string {
  const type = Buffer.from([22, 3]);
  const begins = Math.min(bytes.length, 2);
  if (bytes.compare(type, 0, begins, 0, begins) !== 0) {
    return "DECLINED";
  }
  if (bytes.length < 6) {
    return "AGAIN";
  }
  const length = bytes.readUInt16BE(3);
  if (bytes[5] !== 1 || length < 42 || length > 2 ** 14) {
    return "DECLINED";
  }
  if (bytes.length - 5 < length) {
    return "AGAIN";
  }
  try {
    const name = readHandshake(new Bytes(bytes.subarray(5, 5 + length)));
    return name === "" ? "OK" : `OK ${name}`;
  } catch (error) {
    if (error instanceof Refusal) {
      return "DECLINED";
    }
    throw error;
  }
}
