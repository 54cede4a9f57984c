/** TCP past the process: that it goes there, that it arrives, and that it stops where the host, or the process, would have stopped it. */
import assert from 'node:assert/strict';
import { execFile, execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { parseIp, parsePrefix } from '../../../base/ip.ts';
import type { TunnelStatus } from '../../../contracts/tunnel.ts';
import { host, inside, ip, optionsOf, OUTER, type Pair, pair, peer, PORT, until, useHosts, makeWire } from '../lab.testing.ts';
import { pureAck, spoiledSegment } from '../packets.testing.ts';
import { sha, transfer } from '../transfer.testing.ts';
import { COUNTS } from './layout.ts';

const run = promisify(execFile);
/** Milliseconds after which nothing counts any more that is not true. */
const FORGOTTEN = COUNTS / 1e6 + 500;

useHosts();

const on = (i: number, command: string, ...args: readonly string[]): void => {
  const [file, all] = i === 1 ? [command, [...args]] : inside('t2', command, ...args);
  execFileSync(file, all);
};

async function statusOf({ tunnels }: Pair, i: number): Promise<TunnelStatus> {
  const status = await tunnels[i - 1]?.status();
  assert.ok(status);
  return status;
}

const WIRES = { whole: 'on', cut: 'off' } as const;
type Wire = keyof typeof WIRES;

/** A wire that lets large segments through, as between VMs of one host, or one that has them cut to its MTU before. */
function setWire(wire: Wire): void {
  for (const i of [1, 2])
    on(i, 'ethtool', '-K', `e${i}`, 'tso', WIRES[wire], 'gso', WIRES[wire], 'tx-udp-segmentation', WIRES[wire]);
}

for (const family of [4, 6] as const)
  for (const wire of ['whole', 'cut'] as const)
    test(`outer IPv${family}, segments ${wire}: it goes past the process, and is counted`, async () => {
      setWire(wire);
      try {
        await using tunnels = await pair(family, true);
        const bytes = randomBytes(16 << 20);
        for (const to of ['10.244.2.2', 'fd44:2::2']) assert.equal(await transfer(to, bytes), sha(bytes));
        const [one, two] = [await statusOf(tunnels, 1), await statusOf(tunnels, 2)];
        for (const { fastPath } of [one, two]) assert.equal(fastPath.why, '');
        const [sent, received] = [one.peers['host2'], two.peers['host1']];
        assert.ok(sent && received);
        // 32 MB in segments of some 1,400 bytes, each with its headers.
        assert.ok(sent.sentBytes > 33 << 20 && sent.sentPackets > 22_000 && sent.sentPackets < 40_000, JSON.stringify(sent));
        assert.ok(one.fastPath.sentPackets > sent.sentPackets * 0.8, JSON.stringify(one));
        // What a wire has cut is put together again by the process; acknowledgements go past it in any case.
        const past = two.fastPath.receivedPackets / received.receivedPackets;
        assert.ok(wire === 'whole' ? past > 0.8 : past < 0.2, JSON.stringify(two));
        assert.ok(one.fastPath.receivedPackets > 100, JSON.stringify(one));
        if (wire === 'cut') assert.equal(received.receivedPackets, sent.sentPackets);
      } finally {
        setWire('whole');
      }
    });

test('a wire that let segments through cuts them from now on, and the other way round: what is on its way arrives', async () => {
  await using tunnels = await pair(4, true);
  const bytes = randomBytes(96 << 20);
  try {
    for (const wire of ['cut', 'whole'] as const) {
      const arrived = transfer('10.244.2.2', bytes);
      await until('it is on its way', async () => ((await statusOf(tunnels, 1)).peers['host2']?.sentBytes ?? 0) > 16 << 20);
      setWire(wire);
      assert.equal(await arrived, sha(bytes));
    }
  } finally {
    setWire('whole');
  }
});

for (const [name, ends] of [
  ['the sender', [{}, { fastPath: false }]],
  ['the receiver', [{ fastPath: false }, {}]],
] as const)
  test(`only ${name} has it: everything arrives, on any wire`, async () => {
    await using tunnels = await pair(4, true, ends);
    const bytes = randomBytes(8 << 20);
    try {
      for (const wire of ['whole', 'cut'] as const) {
        setWire(wire);
        for (const to of ['10.244.2.2', 'fd44:2::2']) assert.equal(await transfer(to, bytes), sha(bytes));
      }
    } finally {
      setWire('whole');
    }
    const [one, two] = [await statusOf(tunnels, 1), await statusOf(tunnels, 2)];
    assert.match([one, two][ends.findIndex((end) => 'fastPath' in end)]?.fastPath.why ?? '', /switched off/);
  });

/** Whether host 2's container answers a ping, which goes past the process in both directions if it may; a new connection would be the receiver's process's in any case. */
const answers = async (): Promise<boolean> =>
  await run(...inside('c1', 'ping', '-c', '1', '-W', '1', '10.244.2.2')).then(
    () => true,
    () => false,
  );

for (const [hook, where] of [
  ['output', 1],
  ['input', 2],
] as const)
  test(`what the firewall of a host stops (${hook}) is stopped here as well, and goes on when it is let`, async () => {
    await using tunnels = await pair(4, true);
    const bytes = randomBytes(4 << 20);
    assert.equal(await transfer('10.244.2.2', bytes), sha(bytes));
    assert.ok((await statusOf(tunnels, 1)).fastPath.sentPackets > 100);
    on(
      where,
      'nft',
      `add table ip wall; add chain ip wall c { type filter hook ${hook} priority 0; }; add rule ip wall c udp dport ${PORT} drop`,
    );
    try {
      await sleep(FORGOTTEN);
      assert.equal(await answers(), false);
    } finally {
      on(where, 'nft', 'delete table ip wall');
    }
    await until('it goes on', answers);
    assert.equal(await transfer('10.244.2.2', bytes), sha(bytes));
  });

test('a peer that is reached by another device is reached by it', async () => {
  await using tunnels = await pair(4, true);
  const bytes = randomBytes(4 << 20);
  assert.equal(await transfer('10.244.2.2', bytes), sha(bytes));
  ip('link', 'add', 'o1', 'type', 'veth', 'peer', 'name', 'o2', 'netns', 't2');
  try {
    for (const i of [1, 2]) {
      host(i, 'addr', 'add', `10.8.0.${i}/24`, 'dev', `o${i}`);
      host(i, 'link', 'set', `o${i}`, 'up');
      host(i, 'route', 'add', `${OUTER[4](3 - i)}/32`, 'via', `10.8.0.${3 - i}`, 'src', OUTER[4](i));
    }
    await sleep(FORGOTTEN);
    const before = await statusOf(tunnels, 1);
    assert.equal(await transfer('10.244.2.2', bytes), sha(bytes));
    const after = await statusOf(tunnels, 1);
    assert.equal(after.fastPath.sentPackets, before.fastPath.sentPackets);
    assert.ok((after.peers['host2']?.sentBytes ?? 0) > (before.peers['host2']?.sentBytes ?? 0) + (4 << 20));
  } finally {
    ip('link', 'del', 'o1');
  }
});

test('the underlay becomes another device, and none: what is not seen there goes by the process', async () => {
  await using tunnels = await pair(4, true);
  const [one] = tunnels.tunnels;
  assert.ok(one);
  const { peers } = optionsOf(1, 4);
  await one.setPeers({ peers, underlay: 'v1' });
  const bytes = randomBytes(4 << 20);
  assert.equal(await transfer('10.244.2.2', bytes), sha(bytes));
  assert.equal((await one.status()).fastPath.sentPackets, 0);
  await one.setPeers({ peers, underlay: 'nowhere' });
  assert.match((await one.status()).fastPath.why, /nowhere/);
  assert.equal(await transfer('10.244.2.2', bytes), sha(bytes));
  await one.setPeers({ peers, underlay: 'e1' });
  assert.equal(await transfer('10.244.2.2', bytes), sha(bytes));
  assert.ok((await one.status()).fastPath.sentPackets > 100);
});

test('the underlay device is made anew: it goes on there', async () => {
  await using tunnels = await pair(4, true);
  const bytes = randomBytes(4 << 20);
  assert.equal(await transfer('10.244.2.2', bytes), sha(bytes));
  ip('link', 'del', 'e1');
  makeWire();
  const past = async (i: number): Promise<number> => (await statusOf(tunnels, i)).fastPath.sentPackets;
  // Counted from the beginning, as its maps are new.
  await until('both have found the new one', async () => {
    assert.equal(await transfer('10.244.2.2', bytes), sha(bytes));
    return (await past(1)) > 1_000 && (await past(2)) > 100;
  });
  const { peers } = await statusOf(tunnels, 1);
  assert.ok((peers['host2']?.sentBytes ?? 0) > 8 << 20, 'a peer is not counted anew');
});

test("somebody else's prefix inside of a peer's is somebody else's", async () => {
  await using tunnels = await pair(4, true);
  const [one] = tunnels.tunnels;
  assert.ok(one);
  const bytes = randomBytes(1 << 20);
  assert.equal(await transfer('10.244.2.2', bytes), sha(bytes));
  const other = {
    name: 'other',
    endpoint: { address: parseIp('10.9.0.9'), port: PORT },
    subnets: [parsePrefix('10.244.2.2/32')],
    own: false,
  };
  await one.setPeers({ peers: [peer(2, 4, true), other], underlay: 'e1' });
  const before = (await one.status()).fastPath.sentPackets;
  assert.equal(await answers(), false);
  const { fastPath, peers } = await one.status();
  assert.equal(fastPath.sentPackets, before);
  assert.ok((peers['other']?.sentPackets ?? 0) > 0);
});

/** Datagrams without a checksum, from host 2 to host 1. */
async function bare(...packets: readonly Buffer[]): Promise<void> {
  const program = `${import.meta.dirname}/../bare.child.ts`;
  const sender = run(...inside('t2', process.execPath, program, OUTER[4](2), OUTER[4](1), String(PORT)));
  sender.child.stdin?.end(packets.map((packet) => packet.toString('hex')).join('\n'));
  await sender;
}

const checksumErrors = (): number =>
  Number(
    /TcpInCsumErrors\s+(\d+)/.exec(execFileSync(...inside('c1', 'nstat', '-asz', 'TcpInCsumErrors'), { encoding: 'utf8' }))?.[1],
  );

test("a source that is not the peer's does not come in, and what was spoiled on the wire is not made whole", async () => {
  await using tunnels = await pair(4, true);
  await run(...inside('c2', 'ping', '-c', '1', '-W', '2', '10.244.1.2'));
  const spoofed = pureAck();
  // 10.244.9.2
  spoofed[14] = 9;
  spoofed.writeUInt16BE(spoofed.readUInt16BE(10) - 0x700, 10);
  await bare(pureAck(), spoofed, pureAck());
  await until('all three', async () => (await statusOf(tunnels, 1)).drops['source'] === 1);
  const { fastPath, peers } = await statusOf(tunnels, 1);
  assert.equal(fastPath.receivedPackets, 2);
  assert.equal(peers['host2']?.spoofed, 1);
  const before = checksumErrors();
  assert.ok(Number.isInteger(before));
  await bare(spoiledSegment());
  await until('it is found spoiled', () => checksumErrors() === before + 1);
});
