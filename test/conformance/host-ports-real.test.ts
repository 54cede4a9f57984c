import '../support/isolated.ts';
import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import { silentLogger } from '../../src/base/clock.ts';
import { createKernel } from '../../src/kernel/kernel.ts';
import { hostPortsConformance } from './host-ports.ts';

/** A program's socket on a port, as programs make them: with SO_REUSEADDR. */
async function bound(protocol: string, address: string, port: number): Promise<Server | Socket> {
  if (protocol === 'udp') {
    const socket = createSocket({ type: address.includes(':') ? 'udp6' : 'udp4', reuseAddr: true });
    socket.bind(port, address);
    await once(socket, 'listening');
    return socket;
  }
  const server = createServer().listen({ port, host: address, ipv6Only: true });
  await once(server, 'listening');
  return server;
}

async function closed(socket: Server | Socket): Promise<void> {
  const end = once(socket, 'close');
  socket.close();
  await end;
}

hostPortsConformance('bound sockets', async () => {
  const instance = { id: 'test', dataRoot: '/run/moor-test/data', execRoot: '/run/moor-test' };
  const kernel = await createKernel({ instance, tableName: 'moortest', logger: silentLogger });
  return {
    hostPorts: kernel.hostPorts,
    async occupy(protocol, address, port) {
      const socket = await bound(protocol, address, port);
      const holder = { name: readFileSync('/proc/self/comm', 'utf8').trim(), pid: process.pid };
      return { holder, end: () => closed(socket) };
    },
    async isFree(protocol, address, port) {
      try {
        await closed(await bound(protocol, address, port));
        return true;
      } catch (error) {
        if (error instanceof Error && 'code' in error && error.code === 'EADDRINUSE') return false;
        throw error;
      }
    },
    [Symbol.asyncDispose]: () => kernel[Symbol.asyncDispose](),
  };
});
