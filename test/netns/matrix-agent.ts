/** A process inside a namespace that serves and asks, many questions at a time, each open until it is answered or given up. */
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import type { Answer, Command, Question } from './matrix-agent.child.ts';
import { end, inside, type Place } from './packets.ts';

export interface MatrixAgent extends AsyncDisposable {
  /** TCP and UDP servers on any address of the namespace. */
  readonly listen: (...ports: readonly number[]) => Promise<void>;
  readonly ask: (question: Question) => Promise<Answer>;
  /** All that is still open is answered with `silence`. */
  readonly giveUp: () => Promise<void>;
}

export function matrixAgent(place: Place): MatrixAgent {
  const [file = '', ...args] = inside(place, [process.execPath, new URL('matrix-agent.child.ts', import.meta.url).pathname]);
  const child = spawn(file, args, { stdio: ['pipe', 'pipe', 'inherit'] });
  const waiting = new Map<number, PromiseWithResolvers<Answer>>();
  createInterface({ input: child.stdout }).on('line', (line) => {
    const { id, answer, error } = JSON.parse(line) as { id: number; answer?: Answer; error?: string };
    if (answer === undefined) waiting.get(id)?.reject(new Error(error));
    else waiting.get(id)?.resolve(answer);
    waiting.delete(id);
  });
  child.once('exit', () => {
    for (const { reject } of waiting.values()) reject(new Error(`the process in ${place} has ended`));
  });
  // Those that are asked when it is ended are nobody's any more.
  child.stdin.on('error', () => undefined);
  let last = 0;
  const call = (command: Command): Promise<Answer> => {
    const reply = Promise.withResolvers<Answer>();
    waiting.set(++last, reply);
    // What a test that has failed does not wait for any more is no failure of its own.
    reply.promise.catch(() => undefined);
    child.stdin.write(`${JSON.stringify({ id: last, command })}\n`);
    return reply.promise;
  };
  return {
    listen: async (...ports) => void (await call({ type: 'listen', ports })),
    ask: (question) => call({ type: 'ask', ...question }),
    giveUp: async () => void (await call({ type: 'give up' })),
    [Symbol.asyncDispose]: () => end(child),
  };
}
