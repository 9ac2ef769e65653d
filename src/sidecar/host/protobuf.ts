/** The little of Protocol Buffers that the Workload API needs (encoding: protobuf.dev, "Encoding"). */

export interface Field {
  readonly number: number;
  /** Length-delimited: its bytes; other kinds are passed over. */
  readonly bytes: string;
}

/** A base-128 number at `at` (from 1) and the position after it; undefined when the bytes end within it. */
function varint(bytes: string, at: number): LuaMultiReturn<[number | undefined, number]> {
  let value = 0;
  let factor = 1;
  for (let i = at; i < at + 10; i++) {
    const byte = string.byte(bytes, i);
    if (byte === undefined) {
      return $multi(undefined, at);
    }
    value = value + (byte % 128) * factor;
    if (byte < 128) {
      return $multi(value, i + 1);
    }
    factor = factor * 128;
  }
  return $multi(undefined, at);
}

/** The length-delimited fields of a message, in order; undefined when it is malformed. */
export function fieldsOf(bytes: string): Field[] | undefined {
  const fields: Field[] = [];
  let at = 1;
  while (at <= bytes.length) {
    const [tag, afterTag] = varint(bytes, at);
    if (tag === undefined) {
      return undefined;
    }
    const kind = tag % 8;
    const [value, afterValue] = varint(bytes, afterTag);
    if (value === undefined) {
      return undefined;
    }
    if (kind === 2) {
      if (afterValue + value - 1 > bytes.length) {
        return undefined;
      }
      fields.push({
        number: math.floor(tag / 8),
        bytes: string.sub(bytes, afterValue, afterValue + value - 1),
      });
      at = afterValue + value;
    } else if (kind === 0) {
      at = afterValue;
    } else if (kind === 1 || kind === 5) {
      at = afterTag + (kind === 1 ? 8 : 4);
    } else {
      return undefined;
    }
  }
  return fields;
}
