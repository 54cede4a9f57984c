/** A process inside a namespace that serves and asks, so that a question costs no start of a process. */
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import type { Answer, Command } from './agent.child.ts';
import { end, inside, type Place } from './packets.ts';

export type Protocol = 'tcp' | 'udp';

export interface Agent extends AsyncDisposable {
  /** Servers on any address of the namespace. @param says what they tell instead of the client's address */
  readonly listen: (protocol: Protocol, port: number, says?: string) => Promise<void>;
  /** The address under which the server there sees us, or `refused` or an errno; as long as it takes. */
  readonly ask: (protocol: Protocol, address: string, port: number) => Promise<Answer>;
  /** The same, for what must not be answered: `silence` after a second. */
  readonly tries: (protocol: Protocol, address: string, port: number) => Promise<Answer>;
}

/** ms: everything is on one machine and takes microseconds, see SILENCE_SECONDS. */
const SILENCE = 1000;
const PATIENCE = 30_000;

export function agent(place: Place): Agent {
  const [file = '', ...args] = inside(place, [process.execPath, new URL('agent.child.ts', import.meta.url).pathname]);
  const child = spawn(file, args, { stdio: ['pipe', 'pipe', 'inherit'] });
  const waiting = new Map<number, PromiseWithResolvers<Answer>>();
  createInterface({ input: child.stdout }).on('line', (line) => {
    const { id, answer, error } = JSON.parse(line) as { id: number; answer?: Answer; error?: string };
    if (answer === undefined) waiting.get(id)?.reject(new Error(error));
    else waiting.get(id)?.resolve(answer);
    waiting.delete(id);
  });
  let last = 0;
  const call = (command: Command): Promise<Answer> => {
    const reply = Promise.withResolvers<Answer>();
    waiting.set(++last, reply);
    child.stdin.write(`${JSON.stringify({ id: last, command })}\n`);
    return reply.promise;
  };
  return {
    listen: async (protocol, port, says) =>
      void (await call({ type: 'listen', protocol, port, ...(says === undefined ? {} : { says }) })),
    ask: (protocol, address, port) => call({ type: 'ask', protocol, address, port, ms: PATIENCE }),
    tries: (protocol, address, port) => call({ type: 'ask', protocol, address, port, ms: SILENCE }),
    [Symbol.asyncDispose]: () => end(child),
  };
}
