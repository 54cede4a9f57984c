/** Holding ports against real programs of this host. */
import '../../test/support/isolated.ts';
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { describe, test } from 'node:test';
import { silentLogger } from '../base/clock.ts';
import type { IpAddress } from '../base/ip.ts';
import type { HostPort } from '../contracts/host-ports.ts';
import type { Kernel } from '../contracts/kernel.ts';
import { createKernel } from './kernel.ts';

const openKernel = (): Promise<Kernel> =>
  createKernel({
    instance: { id: 'test', dataRoot: '/run/moor-test/data', execRoot: '/run/moor-test' },
    tableName: 'moortest',
    logger: silentLogger,
  });
const LO = '127.0.0.1' as IpAddress;
const ANY4 = '0.0.0.0' as IpAddress;
const ANY6 = '::' as IpAddress;
const port = (from: number, more: Partial<HostPort> & { readonly to?: number } = {}): HostPort => ({
  protocol: more.protocol ?? 'tcp',
  address: more.address ?? ANY4,
  ports: { from, to: more.to ?? from },
});

async function listen(number: number, host: string): Promise<Server> {
  const server = createServer().listen({ port: number, host, ipv6Only: true });
  await once(server, 'listening');
  return server;
}
const stop = async (server: Server): Promise<void> => {
  server.close();
  await once(server, 'close');
};
/** What becomes of a server there. Node sets SO_REUSEADDR, as nearly every server does. */
const attempt = async (number: number, host: string): Promise<string> => {
  try {
    await stop(await listen(number, host));
    return 'listens';
  } catch (error) {
    return String((error as NodeJS.ErrnoException).code);
  }
};
const attemptUdp = async (number: number, type: 'udp4' | 'udp6' = 'udp4'): Promise<string> => {
  const socket = createSocket({ type, reuseAddr: true, ipv6Only: type === 'udp6' });
  const { promise, resolve } = Promise.withResolvers<string>();
  socket.once('error', (error: NodeJS.ErrnoException) => resolve(String(error.code)));
  socket.bind(number, () => resolve('bound'));
  const outcome = await promise;
  socket.close();
  return outcome;
};
/** Sockets that hold ports have numbers of their own. */
const openFiles = (): number => readdirSync('/proc/self/fd').filter((fd) => Number(fd) >= 4096).length;

describe('a port that is held', () => {
  test('is no other program’s, in each family, until it is released', async () => {
    await using kernel = await openKernel();
    const ports = [port(8080), port(8080, { address: ANY6 }), port(53, { protocol: 'udp' })];
    assert.equal(await kernel.hostPorts.hold(ports), null);
    for (const host of ['127.0.0.1', '0.0.0.0', '::', '::1']) assert.equal(await attempt(8080, host), 'EADDRINUSE', host);
    assert.equal(await attemptUdp(53), 'EADDRINUSE');
    await kernel.hostPorts.release([...ports, port(9999)]);
    for (const host of ['127.0.0.1', '::']) assert.equal(await attempt(8080, host), 'listens');
    assert.equal(await attemptUdp(53), 'bound');
  });

  test('on one address leaves the others', async () => {
    await using kernel = await openKernel();
    assert.equal(await kernel.hostPorts.hold([port(8080, { address: LO })]), null);
    assert.equal(await attempt(8080, '127.0.0.1'), 'EADDRINUSE');
    assert.equal(await attempt(8080, '127.0.0.2'), 'listens');
    assert.equal(await attempt(8080, '::1'), 'listens');
  });

  test('refuses who connects at once, and is free when the daemon has ended', async () => {
    {
      await using kernel = await openKernel();
      await kernel.hostPorts.hold([port(8080)]);
      const [error] = (await once(connect(8080, '127.0.0.1'), 'error')) as [NodeJS.ErrnoException];
      assert.equal(error.code, 'ECONNREFUSED');
    }
    assert.equal(await attempt(8080, '127.0.0.1'), 'listens');
  });

  test('refuses datagrams for ::1 at once, and is no other program’s all the same', async () => {
    await using kernel = await openKernel();
    const ports = [port(53, { protocol: 'udp', address: ANY6 })];
    assert.equal(await kernel.hostPorts.hold(ports), null);
    assert.equal(await attemptUdp(53, 'udp6'), 'EADDRINUSE');
    const client = createSocket('udp6');
    client.connect(53, '::1');
    await once(client, 'connect');
    client.send('?');
    const [error] = (await once(client, 'error')) as [NodeJS.ErrnoException];
    assert.equal(error.code, 'ECONNREFUSED');
    client.close();
    await kernel.hostPorts.release(ports);
    assert.equal(await attemptUdp(53, 'udp6'), 'bound');
  });

  test('may be asked for again by who has it, and not by another daemon', async () => {
    await using one = await openKernel();
    await using two = await openKernel();
    assert.equal(await one.hostPorts.hold([port(8080)]), null);
    assert.equal(await one.hostPorts.hold([port(8080), port(8081)]), null);
    assert.deepEqual(await two.hostPorts.hold([port(8079, { to: 8080 })]), {
      protocol: 'tcp',
      address: ANY4,
      port: 8080,
      reason: 'in-use',
    });
    assert.equal(await attempt(8079, '127.0.0.1'), 'listens');
  });
});

describe('a port that a program has', () => {
  test('is refused, all or nothing, and the program is named', async () => {
    await using kernel = await openKernel();
    const server = await listen(8005, '127.0.0.1');
    const refusal = await kernel.hostPorts.hold([port(8000, { to: 8009 })]);
    assert.deepEqual(refusal, { protocol: 'tcp', address: ANY4, port: 8005, reason: 'in-use' });
    assert.deepEqual(await kernel.hostPorts.holder(refusal), {
      name: readFileSync('/proc/self/comm', 'utf8').trim(),
      pid: process.pid,
    });
    assert.equal(await attempt(8000, '127.0.0.1'), 'listens', 'what came before it is free again');
    await stop(server);
    assert.equal(await kernel.hostPorts.hold([port(8000, { to: 8009 })]), null);
  });

  test('of both families, of UDP, and of another process', async () => {
    await using kernel = await openKernel();
    const dual = createServer().listen({ port: 8080, host: '::' });
    await once(dual, 'listening');
    for (const address of [ANY4, ANY6, LO]) {
      const refusal = await kernel.hostPorts.hold([port(8080, { address })]);
      assert.equal(refusal?.reason, 'in-use', address);
      assert.equal((await kernel.hostPorts.holder(refusal))?.pid, process.pid, address);
    }
    await stop(dual);
    const script =
      "const s=require('dgram').createSocket({type:'udp4',reuseAddr:true});s.bind(5353,'127.0.0.1',()=>console.log('up'))";
    const child = spawn(process.execPath, ['-e', script], { stdio: ['ignore', 'pipe', 'inherit'] });
    try {
      await once(child.stdout, 'data');
      const refusal = await kernel.hostPorts.hold([port(5353, { protocol: 'udp' })]);
      assert.equal(refusal?.reason, 'in-use');
      assert.equal((await kernel.hostPorts.holder(refusal))?.pid, child.pid);
    } finally {
      child.kill();
      await once(child, 'exit');
    }
    assert.equal(await kernel.hostPorts.hold([port(5353, { protocol: 'udp' })]), null);
  });

  test('whose server has just ended is free although connections wait for their end, and is then ours alone', async () => {
    await using kernel = await openKernel();
    const server = await listen(8080, '127.0.0.1');
    const client = connect(8080, '127.0.0.1');
    const [accepted] = (await once(server, 'connection')) as [Socket];
    // Who closes first waits.
    accepted.end();
    client.resume();
    await Promise.all([once(client, 'close'), once(accepted, 'close')]);
    await stop(server);
    // st 06: TIME_WAIT; port 8080 is 1F90.
    assert.match(readFileSync('/proc/self/net/tcp', 'utf8'), /0100007F:1F90 \S+ 06 /);
    assert.equal(await kernel.hostPorts.hold([port(8080)]), null);
    assert.equal(await attempt(8080, '127.0.0.1'), 'EADDRINUSE');
    assert.equal(await attempt(8080, '0.0.0.0'), 'EADDRINUSE');
    const [error] = (await once(connect(8080, '127.0.0.1'), 'error')) as [NodeJS.ErrnoException];
    assert.equal(error.code, 'ECONNREFUSED');
  });
});

test('an address that the host does not have', async () => {
  await using kernel = await openKernel();
  const address = '192.0.2.7' as IpAddress;
  const refusal = { protocol: 'tcp', address, port: 8080, reason: 'no-address' };
  assert.deepEqual(await kernel.hostPorts.hold([port(8081), port(8080, { address })]), refusal);
  assert.equal(await attempt(8081, '127.0.0.1'), 'listens');
});

/** CAP_SYS_RESOURCE, <linux/capability.h>: may raise its own limits. */
const MAY_RAISE = (BigInt(`0x${/^CapEff:\s+(\w+)/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1] ?? '0'}`) >> 24n) & 1n;

test('a thousand ports are one call; the limit of open files is raised, or the daemon keeps enough for itself', async () => {
  await using kernel = await openKernel();
  const before = openFiles();
  assert.equal(await kernel.hostPorts.hold([port(10_000, { to: 10_999 })]), null);
  assert.equal(openFiles(), before + 1000);
  // Low numbers are for others: libnftables ends the process when its socket has one from 1024 on.
  assert.ok(readdirSync('/proc/self/fd').filter((fd) => Number(fd) < 1024).length < 200);
  const limit = Number(/^Max open files\s+(\d+)/m.exec(readFileSync('/proc/self/limits', 'utf8'))?.[1]);
  // As many as there are: beyond any usual limit, but for the daemons of systemd.
  const all = [ANY4, ANY6].flatMap((address) => [port(1, { address, to: 9999 }), port(11_000, { address, to: 65_535 })]);
  if (MAY_RAISE === 0n && limit < 2 * 64_536) {
    await assert.rejects(kernel.hostPorts.hold(all), { kind: 'exhausted' });
    assert.equal(openFiles(), before + 1000);
  } else {
    assert.equal(await kernel.hostPorts.hold(all), null);
    await kernel.hostPorts.release(all);
  }
  await kernel.hostPorts.release([port(10_000, { to: 10_999 })]);
  assert.equal(openFiles(), before);
});

test('where free ports are looked for', async () => {
  await using kernel = await openKernel();
  const [from, to] = readFileSync('/proc/sys/net/ipv4/ip_local_port_range', 'utf8').trim().split(/\s+/).map(Number);
  assert.deepEqual(await kernel.hostPorts.automatic(), { range: { from, to }, reserved: [] });
});

test('from the first port on a table keeps connections translated: a flush of all rules leaves it, and it goes with the daemon', async () => {
  const tables = (): string => execFileSync('nft', ['list', 'tables'], { encoding: 'utf8' });
  {
    await using kernel = await openKernel();
    assert.equal(tables(), '');
    await kernel.hostPorts.hold([port(8080)]);
    execFileSync('nft', ['flush', 'ruleset']);
    assert.match(tables(), /table inet moortest_keep/);
    await kernel.hostPorts.release([port(8080)]);
    await kernel.hostPorts.hold([port(8080)]);
    assert.match(tables(), /table inet moortest_keep/);
  }
  assert.equal(tables(), '');
});
