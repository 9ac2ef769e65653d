/** Why there is no connection to NATS. The client tries for ever and does not tell, so attempts of its own are made, seldom. */

export interface ReasonOptions {
  /** One attempt to connect; throws why it fails. */
  readonly attempt: () => Promise<void>;
  /** Called after each attempt that fails. */
  onReason(reason: string): void;
  /** Milliseconds until the first attempt, doubled for each next one; default 1,000. */
  readonly firstPause?: number;
  /** Milliseconds between two attempts at most; default 60,000. */
  readonly longestPause?: number;
}

export interface ReasonWatch {
  /** There is no connection. */
  begin(): void;
  /** There is one. */
  end(): void;
}

/** What OpenSSL says of an alert that came: "…:SSL routines:ssl3_read_bytes:tlsv1 alert unknown ca:…". */
const alert = /:SSL routines:[^:]*:([^:]*\balert\b[^:]*):/;

/** The innermost cause says most. A transport may reject with nothing when the server closes without a word. */
function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) {
    return "the server closes the connection without a word";
  }
  const { message } = error.cause instanceof Error && error.cause.message !== "" ? error.cause : error;
  const [, refusal] = alert.exec(message) ?? [];
  return refusal === undefined
    ? message.trim()
    : `the server refuses the controller's certificate, or its TLS: ${refusal}`;
}

/** Makes no attempt until begun. */
export function watchReason(options: ReasonOptions): ReasonWatch {
  const { attempt, onReason, firstPause = 1_000, longestPause = 60_000 } = options;
  /** Of the outage that lasts; what an earlier one still waits for is of no interest. */
  let outage: { timer?: NodeJS.Timeout } | undefined;

  const look = async (current: { timer?: NodeJS.Timeout }, pause: number): Promise<void> => {
    try {
      await attempt();
    } catch (error) {
      if (outage === current) {
        onReason(reasonOf(error));
      }
    }
    if (outage === current) {
      wait(current, Math.min(pause * 2, longestPause));
    }
  };
  const wait = (current: { timer?: NodeJS.Timeout }, pause: number): void => {
    current.timer = setTimeout(() => void look(current, pause), pause);
  };
  return {
    begin() {
      if (outage === undefined) {
        outage = {};
        wait(outage, firstPause);
      }
    },
    end() {
      clearTimeout(outage?.timer);
      outage = undefined;
    },
  };
}
