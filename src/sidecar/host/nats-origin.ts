/**
 * Whether a message is what it seems. The asker of a direct get chooses where the server sends the answer, so another
 * pod can have the answer to a question of its own sent to a subject that this one listens to (docs/security.md).
 */
import { keySubjectPrefix } from "../../wire/keys.ts";

/** Starts the header that names the key that a stored value is of; the server puts it into answers, never into updates. */
const nameHeader = "\r\nNats-Subject: ";

/** `headers` as they came, empty without any; `name`: the key that the message claims to be of. */
export function isGenuine(headers: string, name: string, isAnswer: boolean): boolean {
  const [status] = string.find(headers, "^NATS/1.0 %d");
  if (isAnswer) {
    const [own] = string.find(headers, `${nameHeader}${keySubjectPrefix}${name}\r\n`, 1, true);
    return status !== undefined || own !== undefined;
  }
  const [named] = string.find(headers, nameHeader, 1, true);
  return status === undefined && named === undefined;
}
