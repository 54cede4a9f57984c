import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { silentLogger } from '../../base/clock.ts';
import { MoorError } from '../../base/errors.ts';
import { type Id, newId } from '../../base/ids.ts';
import { parseIp } from '../../base/ip.ts';
import type { Tunnel, TunnelPeer, TunnelSpec } from '../../contracts/tunnel.ts';
import { createTunnels, type Means } from './tunnels.ts';

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
  underlay: 'eth1',
});

/** What is done, in words; the last tunnel fails on demand. */
class Lab implements Means {
  readonly said: string[] = [];
  refuse = false;
  fail: () => void = () => {};
  leftOver: readonly Id[] = [];
  readonly left = (): readonly Id[] => this.leftOver;
  readonly end = async (network: Id): Promise<void> => void this.said.push(`end ${network}`);

  readonly open = async (_network: Id, { local, peers }: TunnelSpec): Promise<Tunnel> => {
    if (this.refuse) throw new MoorError('conflict', 'port 1 is taken');
    const { promise, resolve } = Promise.withResolvers<void>();
    this.fail = resolve;
    this.said.push(`open ${local.port} ${peers.map(({ name }) => name).join('')}`);
    return {
      setPeers: async ({ peers }) => void this.said.push(`peers ${peers.map(({ name }) => name).join('')}`),
      status: async () => ({ peers: {}, drops: {}, fastPath: { why: '', sentPackets: 0, receivedPackets: 0 } }),
      ended: promise,
      end: async () => {
        resolve();
        this.said.push('end');
      },
      [Symbol.asyncDispose]: async () => {
        resolve();
        this.said.push('let go');
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

test('a tunnel is opened once, given its peers, moved, ended', async () => {
  const lab = new Lab();
  await using tunnels = createTunnels(silentLogger, lab);
  const id = newId();
  await tunnels.want(id, spec(1, 'a'));
  await tunnels.want(id, spec(1, 'a', 'b'));
  await tunnels.want(id, spec(2, 'b'));
  assert.equal((await tunnels.status(id))?.error, '');
  await tunnels.want(id, null);
  assert.equal(await tunnels.status(id), null);
  assert.deepEqual(lab.said, ['open 1 a', 'peers ab', 'end', 'open 2 b', 'end']);
});

test('one that fails, or cannot be opened, is opened again with the peers of today', async () => {
  const lab = new Lab();
  lab.refuse = true;
  await using tunnels = createTunnels(silentLogger, lab);
  const id = newId();
  await tunnels.want(id, spec(1, 'a'));
  assert.deepEqual(await tunnels.status(id), { tunnel: null, error: 'port 1 is taken' });
  lab.refuse = false;
  await lab.until(1);
  lab.fail();
  await lab.until(2);
  await tunnels.want(id, spec(1, 'b'));
  await lab.until(3);
  assert.deepEqual(lab.said, ['open 1 a', 'end', 'open 1 b']);
});

test('who is closed lets go; what no network wants is ended, also what an earlier daemon has left', async () => {
  const lab = new Lab();
  const [one, two, old] = [newId(), newId(), newId()];
  {
    await using tunnels = createTunnels(silentLogger, lab);
    await tunnels.want(one, spec(1, 'a'));
    await tunnels.want(two, spec(2, 'a'));
    lab.leftOver = [one, two, old];
    await tunnels.keep(new Set([one]));
    assert.deepEqual(lab.said.splice(0).slice(2).sort(), ['end', `end ${old}`]);
    // One of an earlier daemon, whose network is not wanted before it goes.
    await tunnels.want(old, null);
  }
  // Its own end is not a failure.
  await sleep(20);
  assert.deepEqual(lab.said, [`end ${old}`, 'let go']);
});
