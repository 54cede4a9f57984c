/** Floods of small datagrams (flood.child.ts), from one place to another. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { output, program } from './running.ts';

const PORT = 5300;
/** Milliseconds. */
const TIME = 1000;

export interface Flooded extends AsyncDisposable {
  /** @param rate datagrams a second @returns how many were sent in a second, and how many of them came */
  readonly flood: (rate: number, size: number) => Promise<{ readonly sent: number; readonly came: number }>;
}

/** @param client command line that runs what follows it where datagrams come from @param server where they go to, at `address` */
export async function startFlooded({
  client,
  server,
  address,
}: {
  readonly client: readonly string[];
  readonly server: readonly string[];
  readonly address: string;
}): Promise<Flooded> {
  const [command = '', ...args] = [...server, ...program('flood.child.ts', 'serve', PORT)];
  const child: ChildProcess = spawn(command, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  if (child.stdout === null) throw new Error('no output to read');
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const line = async (): Promise<string> => {
    const { value, done } = await lines.next();
    if (done === true) throw new Error('who counts datagrams has ended');
    return value;
  };
  await line();
  return {
    async flood(rate, size) {
      const sent = Number(await output(client, ...program('flood.child.ts', 'send', address, PORT, size, rate, TIME)));
      return { sent, came: Number(await line()) };
    },
    async [Symbol.asyncDispose]() {
      const ended = once(child, 'exit');
      child.kill('SIGKILL');
      await ended;
    },
  };
}
