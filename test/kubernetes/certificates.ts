/** Certificates of tests that sign themselves. */
import { join } from "node:path";
import { run } from "./fixture.ts";

/** Files with PEM, made in the folder and named by `name`. `subject` and `extension` as openssl-req(1) has them. */
export async function selfSigned(
  folder: string,
  name: string,
  subject: string,
  extension: string,
): Promise<{ readonly certificate: string; readonly key: string }> {
  const [certificate, key] = [join(folder, `${name}.pem`), join(folder, `${name}-key.pem`)];
  const curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
  const content = ["-subj", subject, "-addext", extension];
  const files = ["-keyout", key, "-out", certificate];
  await run("openssl", ["req", "-x509", "-days", "30", ...curve, ...content, ...files]);
  return { certificate, key };
}
