import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { silentLogger } from '../../base/clock.ts';
import { MoorError } from '../../base/errors.ts';
import { newId } from '../../base/ids.ts';
import { parseIp } from '../../base/ip.ts';
import type { Tunnel, TunnelPeer, TunnelSpec } from '../../contracts/tunnel.ts';
import { createTunnels } from './tunnels.ts';

const peer = (name: string): TunnelPeer => ({
  name,
  endpoint: { address: parseIp('192.0.2.2'), port: 1 },
  subnets: [],
  own: true,
});
const spec = (port: number, ...names: readonly string[]): TunnelSpec => ({
  device: 'tun0',
  local: { address: parseIp('192.0.2.1'), port },
  peers: names.map(peer),
});

/** What is done, in words; the last tunnel fails on demand. */
class Lab {
  readonly said: string[] = [];
  refuse = false;
  fail: () => void = () => {};

  readonly open = async ({ local, peers }: TunnelSpec): Promise<Tunnel> => {
    if (this.refuse) throw new MoorError('conflict', 'port 1 is taken');
    const { promise, resolve } = Promise.withResolvers<void>();
    this.fail = resolve;
    this.said.push(`open ${local.port} ${peers.map(({ name }) => name).join('')}`);
    return {
      setPeers: async (list) => void this.said.push(`peers ${list.map(({ name }) => name).join('')}`),
      status: () => ({ peers: {}, drops: {} }),
      ended: promise,
      [Symbol.asyncDispose]: async () => {
        resolve();
        this.said.push('close');
      },
    };
  };

  async until(count: number): Promise<void> {
    const end = Date.now() + 10_000;
    while (this.said.length < count) {
      assert.ok(Date.now() < end, this.said.join());
      await sleep(5);
    }
  }
}

test('a tunnel is opened once, given its peers, moved, closed', async () => {
  const lab = new Lab();
  await using tunnels = createTunnels(silentLogger, lab.open);
  const id = newId();
  await tunnels.want(id, spec(1, 'a'));
  await tunnels.want(id, spec(1, 'a', 'b'));
  await tunnels.want(id, spec(2, 'b'));
  assert.equal(tunnels.status(id)?.error, '');
  await tunnels.want(id, null);
  assert.equal(tunnels.status(id), null);
  assert.deepEqual(lab.said, ['open 1 a', 'peers ab', 'close', 'open 2 b', 'close']);
});

test('one that fails, or cannot be opened, is opened again with the peers of today', async () => {
  const lab = new Lab();
  lab.refuse = true;
  await using tunnels = createTunnels(silentLogger, lab.open);
  const id = newId();
  await tunnels.want(id, spec(1, 'a'));
  assert.deepEqual(tunnels.status(id), { tunnel: null, error: 'port 1 is taken' });
  lab.refuse = false;
  await lab.until(1);
  lab.fail();
  await lab.until(2);
  await tunnels.want(id, spec(1, 'b'));
  await lab.until(3);
  assert.deepEqual(lab.said, ['open 1 a', 'close', 'open 1 b']);
});
