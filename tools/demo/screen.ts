/** Where the demo writes: a terminal on which the last block is redrawn, or plain lines. */

export interface Screen {
  /** A line that stays. */
  say(text: string): void;
  /** Replaces the block below the lines; without a terminal, writes it if the last one was written a while ago. */
  show(block: string): void;
  /** The last block stays as it is. */
  end(): void;
}

const secondsBetweenBlocks = 5;

export function createScreen(output: NodeJS.WriteStream, now: () => number = Date.now): Screen {
  return output.isTTY ? terminal(output) : plain(output, now);
}

function plain(output: NodeJS.WriteStream, now: () => number): Screen {
  let shownAt = 0;
  return {
    say: (text) => void output.write(`${text}\n`),
    show(block) {
      if (now() - shownAt >= secondsBetweenBlocks * 1000) {
        shownAt = now();
        output.write(`\n${block}\n`);
      }
    },
    end() {},
  };
}

/** A line that is wider than the terminal would take two rows and break the count. */
function cut(text: string, columns: number): string {
  return text
    .split("\n")
    .map((line) => line.slice(0, columns))
    .join("\n");
}

function terminal(output: NodeJS.WriteStream): Screen {
  let rows = 0;
  const erase = (): void => {
    if (rows > 0) {
      // CUU and ED of ECMA-48: up by so many rows, then clear to the end of the screen.
      output.write(`\u001b[${rows}A\u001b[J`);
    }
    rows = 0;
  };
  let last = "";
  const draw = (): void => {
    if (last !== "") {
      const block = cut(`\n${last}`, output.columns);
      rows = block.split("\n").length;
      output.write(`${block}\n`);
    }
  };
  return {
    say(text) {
      erase();
      output.write(`${text}\n`);
      draw();
    },
    show(block) {
      erase();
      last = block.trimEnd();
      draw();
    },
    end() {
      last = "";
      rows = 0;
    },
  };
}
