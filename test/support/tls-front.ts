/** TLS in front of a server that has none: ends it, wants a certificate of each client if told so, and passes on what is inside. */
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { createServer } from 'node:tls';

export interface FrontFiles {
  readonly ca: string;
  readonly cert: string;
  readonly key: string;
  readonly wantsClient?: boolean;
}

/** On 127.0.0.1. */
export async function startTlsFront(port: number, target: number, files: FrontFiles): Promise<AsyncDisposable> {
  const { ca, cert, key, wantsClient = false } = files;
  const [caText, certText, keyText] = [ca, cert, key].map((file) => readFileSync(file, 'utf8'));
  const sockets = new Set<Socket>();
  const options = { ca: caText, cert: certText, key: keyText, requestCert: wantsClient, rejectUnauthorized: wantsClient };
  const server = createServer(options, (client) => {
    const inner = connect({ host: '127.0.0.1', port: target, noDelay: true });
    for (const [from, to] of [
      [client, inner],
      [inner, client],
    ] as const) {
      sockets.add(from);
      from.on('error', () => {});
      from.on('close', () => {
        sockets.delete(from);
        to.destroy();
      });
      from.on('data', (data: Buffer) => to.write(data));
    }
  });
  server.on('tlsClientError', () => {});
  server.listen(port, '127.0.0.1');
  await once(server, 'listening');
  return {
    [Symbol.asyncDispose]: async () => {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, 'close');
    },
  };
}
