/** A wire to a server that can be cut, or swallow everything, for one client only. */
import { once } from 'node:events';
import { connect, createServer, type Server, type Socket } from 'node:net';

export class TcpProxy implements AsyncDisposable {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  #mode: 'open' | 'cut' | 'hole' = 'open';

  private constructor(server: Server) {
    this.#server = server;
  }

  /** On 127.0.0.1. */
  static async start(port: number, target: number): Promise<TcpProxy> {
    const server = createServer({ noDelay: true });
    const proxy = new TcpProxy(server);
    server.on('connection', (client) => proxy.#join(client, target));
    server.listen(port, '127.0.0.1');
    await once(server, 'listening');
    return proxy;
  }

  /** Resets what is connected, and whoever connects. */
  cut(): void {
    this.#mode = 'cut';
    for (const socket of this.#sockets) socket.resetAndDestroy();
  }

  /** Connections stay, and may be made, and nothing passes. */
  swallow(): void {
    this.#mode = 'hole';
  }

  /** What was swallowed is lost, and its connections with it. */
  restore(): void {
    const before = this.#mode;
    this.#mode = 'open';
    if (before === 'hole') for (const socket of this.#sockets) socket.resetAndDestroy();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    this.#server.close();
    await once(this.#server, 'close');
  }

  #join(client: Socket, target: number): void {
    if (this.#mode === 'cut') {
      client.on('error', () => {});
      client.resetAndDestroy();
      return;
    }
    const server = connect({ port: target, host: '127.0.0.1', noDelay: true });
    this.#pass(client, server);
    this.#pass(server, client);
  }

  #pass(from: Socket, to: Socket): void {
    this.#sockets.add(from);
    from.on('error', () => {});
    from.on('close', () => {
      this.#sockets.delete(from);
      to.destroy();
    });
    from.on('data', (data) => {
      if (this.#mode === 'open') to.write(data);
    });
  }
}
