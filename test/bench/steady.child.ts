/**
 * New connections at a steady pace while something goes wrong, and some that are there all the time.
 *
 *     steady.child.ts serve PORT                    tells each client its address, then sends back what it gets; for ever
 *     steady.child.ts connect ADDRESS PORT          until the end of its input; then prints a `Steady` as JSON
 */
import { connect, createServer, type Socket } from 'node:net';

/** New connections a second. */
export const PACE = 1000;
/** Connections that are there all the time, and milliseconds between two questions on each. */
export const ESTABLISHED = 20;
const ASK_MS = 20;
/** Who is not served in so many milliseconds counts as lost: one retransmission of a SYN comes after 1 s, the next after 3. */
const PATIENCE = 2000;
/** Silences of an established connection that are told, milliseconds. */
const SILENCE = 2 * ASK_MS;

/** Times are milliseconds of CLOCK_MONOTONIC, which all processes share. */
export interface Attempt {
  readonly at: number;
  readonly took: number;
  /** `served`; `moved`: served, but the server does not see the client's own address; `silence`; or errno's name. */
  readonly end: string;
}

export interface Steady {
  readonly attempts: readonly Attempt[];
  /** Ends of established connections, by what. */
  readonly lost: readonly { readonly at: number; readonly end: string }[];
  readonly silences: readonly { readonly from: number; readonly to: number }[];
}

export const now = (): number => Number(process.hrtime.bigint()) / 1e6;

function serve(port: number): void {
  const server = createServer({ noDelay: true }, (socket) => {
    socket.on('error', () => {});
    socket.write(socket.remoteAddress ?? '');
    socket.on('data', (bytes) => socket.write(bytes));
  });
  server.listen(port, '0.0.0.0', 4096, () => process.stdout.write('ready\n'));
}

const codeOf = (error: Error): string => ('code' in error ? String(error.code) : error.message);

class Client {
  readonly #host: string;
  readonly #port: number;
  readonly #attempts: Attempt[] = [];
  readonly #lost: { readonly at: number; readonly end: string }[] = [];
  readonly #silences: { readonly from: number; readonly to: number }[] = [];
  readonly #sockets = new Set<Socket>();
  /** When each established connection was answered last; those that have ended are not in it. */
  readonly #answered = new Map<Socket, number>();

  constructor(host: string, port: number) {
    this.#host = host;
    this.#port = port;
  }

  #open(): Socket {
    return connect({ host: this.#host, port: this.#port, noDelay: true });
  }

  attempt(): void {
    const at = now();
    const socket = this.#open();
    const done = (end: string): void => {
      if (!this.#sockets.delete(socket)) return;
      this.#attempts.push({ at, took: now() - at, end });
      // So that neither end, nor the kernel's table of connections, remembers it for minutes.
      socket.resetAndDestroy();
    };
    this.#sockets.add(socket);
    socket.once('data', (text) => done(text.toString() === socket.localAddress ? 'served' : 'moved'));
    socket.on('error', (error) => done(codeOf(error)));
    socket.on('close', () => done('closed'));
    setTimeout(() => done('silence'), PATIENCE).unref();
  }

  /** Resolves when it has been served. */
  establish(): Promise<Socket> {
    const socket = this.#open();
    return new Promise((done, fail) => {
      socket.once('error', fail);
      socket.once('data', () => {
        socket.removeListener('error', fail);
        this.#answered.set(socket, now());
        socket.on('data', () => this.#answer(socket));
        socket.on('error', (error) => this.#lose(socket, codeOf(error)));
        socket.on('close', () => this.#lose(socket, 'closed'));
        done(socket);
      });
    });
  }

  #answer(socket: Socket): void {
    const [from = 0, to] = [this.#answered.get(socket), now()];
    if (to - from > SILENCE) this.#silences.push({ from, to });
    this.#answered.set(socket, to);
  }

  #lose(socket: Socket, end: string): void {
    if (this.#answered.delete(socket)) this.#lost.push({ at: now(), end });
  }

  /** Waits for those that are under way. */
  async result(): Promise<Steady> {
    for (const end = now() + PATIENCE + SILENCE; this.#sockets.size > 0 && now() < end; ) {
      await new Promise((done) => setTimeout(done, ASK_MS));
    }
    for (const [socket, at] of this.#answered) if (now() - at > PATIENCE / 2) this.#lose(socket, 'silence');
    return { attempts: this.#attempts, lost: this.#lost, silences: this.#silences };
  }
}

async function run(host: string, port: number): Promise<void> {
  const client = new Client(host, port);
  const established = await Promise.all(Array.from({ length: ESTABLISHED }, () => client.establish()));
  const ask = setInterval(() => {
    for (const socket of established) if (socket.writable) socket.write('x');
  }, ASK_MS);
  const started = now();
  let made = 0;
  const pace = setInterval(() => {
    // As many as are due: a timer that is late must not make it slower.
    for (const due = ((now() - started) * PACE) / 1000; made < due; made++) client.attempt();
  }, 1);
  process.stdout.write('ready\n');
  process.stdin.resume();
  await new Promise((done) => process.stdin.once('end', done));
  clearInterval(pace);
  const result = await client.result();
  clearInterval(ask);
  process.stdout.write(JSON.stringify(result), () => process.exit());
}

if (import.meta.main) {
  const [role, ...args] = process.argv.slice(2);
  if (role === 'serve') serve(Number(args[0]));
  else await run(args[0] ?? '', Number(args[1]));
}
