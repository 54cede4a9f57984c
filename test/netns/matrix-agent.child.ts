/**
 * Runs inside a namespace for matrix-agent.ts: opens servers that tell each client the address they see it under and the port that it
 * came to, and asks such servers, many at a time. A line of JSON on stdin is a command, a line on stdout its answer.
 */
import { createSocket } from 'node:dgram';
import { createServer, connect as connectTcp, isIPv6 } from 'node:net';
import { createInterface } from 'node:readline';

export interface Question {
  readonly protocol: 'tcp' | 'udp';
  readonly address: string;
  readonly port: number;
}

export type Command =
  | { readonly type: 'listen'; readonly ports: readonly number[] }
  /** Answered when somebody answers. */
  | ({ readonly type: 'ask' } & Question)
  /** What is still asked is answered with `silence`. */
  | { readonly type: 'give up' };

/** `ADDRESS PORT`: the client as the server saw it, and the server's own port. Else `refused`, an errno, or `silence`. */
export type Answer = string;

/** ms: a datagram may get lost, as a SYN may, which the kernel then sends again. */
const AGAIN = 500;

const plain = (address: string | undefined): string => (address ?? '').replace('::ffff:', '');
const open = new Set<(answer: Answer) => void>();

async function listen(ports: readonly number[]): Promise<void> {
  const ready = ports.flatMap((port) => [
    new Promise<void>((done, fail) => {
      createServer((peer) => peer.on('error', () => undefined).end(`${plain(peer.remoteAddress)} ${port}`))
        .on('error', fail)
        .listen(port, '::', done);
    }),
    new Promise<void>((done, fail) => {
      const socket = createSocket({ type: 'udp6', ipv6Only: false });
      socket.on('message', (_, peer) => socket.send(`${plain(peer.address)} ${port}`, peer.port, peer.address));
      socket.on('error', fail).bind(port, '::', done);
    }),
  ]);
  await Promise.all(ready);
}

function ask({ protocol, address, port }: Question): Promise<Answer> {
  return new Promise((done) => {
    let close = (): void => undefined;
    const end = (answer: Answer): void => {
      open.delete(end);
      close();
      done(answer);
    };
    open.add(end);
    const refused = (error: NodeJS.ErrnoException): void => end(error.code === 'ECONNREFUSED' ? 'refused' : String(error.code));
    if (protocol === 'tcp') {
      const socket = connectTcp({ host: address, port });
      let text = '';
      close = () => socket.destroy();
      socket.on('error', refused).on('data', (part) => (text += String(part)));
      socket.on('end', () => end(text));
    } else {
      const socket = createSocket(isIPv6(address) ? 'udp6' : 'udp4');
      let repeat: NodeJS.Timeout | undefined;
      close = () => {
        clearInterval(repeat);
        socket.close();
      };
      socket.on('error', refused).on('message', (message) => end(String(message)));
      socket.connect(port, address, (error?: NodeJS.ErrnoException) => {
        if (error) return refused(error);
        const send = (): void => socket.send('?');
        send();
        repeat = setInterval(send, AGAIN);
      });
    }
  });
}

async function answer(command: Command): Promise<Answer> {
  switch (command.type) {
    case 'listen':
      await listen(command.ports);
      return '';
    case 'ask':
      return ask(command);
    case 'give up':
      for (const end of open) end('silence');
      return '';
  }
}

const say = (line: object): void => void process.stdout.write(`${JSON.stringify(line)}\n`);

createInterface({ input: process.stdin }).on('line', (line) => {
  const { id, command } = JSON.parse(line) as { id: number; command: Command };
  void answer(command).then(
    (text) => say({ id, answer: text }),
    (error: unknown) => say({ id, error: String(error) }),
  );
});
