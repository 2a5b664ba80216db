// Questions to the kernel with one answer each. Required: an answer goes to who asked, although every view
// of the widget hears it; what fails, or is not answered, is said in words.

const PATIENCE = 5000;
const SILENCE = "no answer from Python yet";

interface Reply {
  id?: string;
  ok?: boolean;
  error?: string;
}

interface Line {
  on(event: "msg:custom", heard: (reply: Reply, buffers: DataView[]) => void): void;
  send(message: Record<string, unknown>): void;
}

interface Asked {
  resolve: (answer: { reply: never; buffers: DataView[] }) => void;
  reject: (reason: Error) => void;
}

export class Requests {
  readonly #asked = new Map<string, Asked>();
  readonly #name = Math.random().toString(36).slice(2);
  #next = 0;

  constructor(private readonly line: Line) {
    line.on("msg:custom", (reply, buffers) => {
      const asked = this.#asked.get(reply.id ?? "");
      if (!asked) return;
      this.#asked.delete(reply.id ?? "");
      if (reply.ok) asked.resolve({ reply: reply as never, buffers });
      else asked.reject(new Error(reply.error ?? "The kernel could not compute this part."));
    });
  }

  /** Ask; `late` is called when nobody has answered for long, which a later answer still may. */
  ask<T>(
    message: { op: string } & Record<string, unknown>,
    late: (words: string) => void,
  ): Promise<{ reply: T; buffers: DataView[] }> {
    const id = `${this.#name}-${++this.#next}`;
    const timer = setTimeout(() => late(SILENCE), PATIENCE);
    const asked = new Promise<{ reply: T; buffers: DataView[] }>((resolve, reject) => {
      this.#asked.set(id, { resolve: resolve as Asked["resolve"], reject });
    });
    this.line.send({ ...message, id });
    return asked.finally(() => clearTimeout(timer));
  }
}
