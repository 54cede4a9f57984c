/**
 * Runs inside a namespace for agent.ts: opens servers that tell each client the address they see it under, and asks such servers. A line of
 * JSON on stdin is a command, a line on stdout its answer.
 */
import { createSocket } from 'node:dgram';
import { createServer, connect as connectTcp, isIPv6 } from 'node:net';
import { createInterface } from 'node:readline';

export type Command =
  | { readonly type: 'listen'; readonly protocol: 'tcp' | 'udp'; readonly port: number; readonly says?: string }
  | {
      readonly type: 'ask';
      readonly protocol: 'tcp' | 'udp';
      readonly address: string;
      readonly port: number;
      /** How long to wait for an answer. */
      readonly ms: number;
    };

/** What a server said, or why none did. */
export type Answer = string;

const plain = (address: string | undefined): string => (address ?? '').replace('::ffff:', '');

function listen({ protocol, port, says }: Extract<Command, { type: 'listen' }>): Promise<Answer> {
  return new Promise((done, fail) => {
    if (protocol === 'tcp') {
      createServer((peer) => peer.on('error', () => undefined).end(says ?? plain(peer.remoteAddress)))
        .on('error', fail)
        .listen(port, '::', () => done(''));
    } else {
      const socket = createSocket({ type: 'udp6', ipv6Only: false });
      socket.on('message', (_, peer) => socket.send(says ?? plain(peer.address), peer.port, peer.address));
      socket.on('error', fail).bind(port, '::', () => done(''));
    }
  });
}

function ask({ protocol, address, port, ms }: Extract<Command, { type: 'ask' }>): Promise<Answer> {
  return new Promise((done) => {
    const refused = (error: NodeJS.ErrnoException): void => end(error.code === 'ECONNREFUSED' ? 'refused' : String(error.code));
    const timer = setTimeout(() => end('silence'), ms);
    let close = (): void => undefined;
    let repeat: NodeJS.Timeout | undefined;
    const end = (answer: Answer): void => {
      clearTimeout(timer);
      clearInterval(repeat);
      close();
      done(answer);
    };
    if (protocol === 'tcp') {
      const socket = connectTcp({ host: address, port });
      let text = '';
      close = () => socket.destroy();
      socket.on('error', refused).on('data', (part) => (text += String(part)));
      socket.on('end', () => end(text));
    } else {
      const socket = createSocket(isIPv6(address) ? 'udp6' : 'udp4');
      close = () => socket.close();
      socket.on('error', refused).on('message', (message) => end(String(message)));
      socket.connect(port, address, () => {
        const send = (): void => socket.send('?');
        send();
        repeat = setInterval(send, 1000);
      });
    }
  });
}

const reply = (id: number, result: { readonly answer: Answer } | { readonly error: string }): void =>
  void process.stdout.write(`${JSON.stringify({ id, ...result })}\n`);

createInterface({ input: process.stdin }).on('line', (line) => {
  const { id, command } = JSON.parse(line) as { id: number; command: Command };
  void (command.type === 'listen' ? listen(command) : ask(command)).then(
    (answer) => reply(id, { answer }),
    (error: unknown) => reply(id, { error: String(error) }),
  );
});
