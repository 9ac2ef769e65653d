/** Text that nobody outside the worker can foresee, from OpenSSL's generator (RAND_bytes(3)), which nginx has loaded. */
const ffi = require("ffi");

ffi.cdef("int RAND_bytes(unsigned char *buf, int num);");

const size = 16;

/** 32 lower-case hexadecimal digits. Throws when the generator fails, as it does only without any entropy. */
export function unguessable(): string {
  const bytes = ffi.new("unsigned char[?]", size);
  if (ffi.C.RAND_bytes(bytes, size) !== 1) {
    error("OpenSSL gives no random bytes");
  }
  let text = "";
  for (let i = 0; i < size; i++) {
    text = text + string.format("%02x", bytes[i]);
  }
  return text;
}
