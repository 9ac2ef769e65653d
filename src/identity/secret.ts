import { inspect } from "node:util";

/** Bytes that must not reach a log, an error message or a status page: however it is printed, it reads `<redacted>`. */
export class Secret {
  readonly #bytes: Uint8Array;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  /** The bytes themselves; call it where they are handed to what needs them, and keep the result nowhere. */
  reveal(): Uint8Array {
    return this.#bytes;
  }

  toString(): string {
    return "<redacted>";
  }

  toJSON(): string {
    return "<redacted>";
  }

  [inspect.custom](): string {
    return "<redacted>";
  }
}
