/** What `nginx-meshctl` says when a command fails, and its exit status. */

/** Exit statuses; the same for all commands. */
export const exitStatus = {
  /** Done, and all is well. */
  ok: 0,
  /** Done, but what was found is not well: pods not ready, problems in the manifests, no such resource. */
  notWell: 1,
  /** Not done: wrong usage, no mesh, no answer. */
  notDone: 2,
} as const;

/** Ends a command; the message is shown to the user: what was being done, to what, why it failed, what to do. */
export class CommandError extends Error {
  override readonly name = "CommandError";
  readonly status: number;

  constructor(message: string, options: { readonly status?: number; readonly cause?: unknown } = {}) {
    super(message, { cause: options.cause });
    this.status = options.status ?? exitStatus.notDone;
  }
}
