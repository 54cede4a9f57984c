// test-timeout: 900 s
/**
 * Random and mutated datagrams at the port of a tunnel: a million, or FUZZ of them. Every one is accounted for, nothing of them gets into the kernel but
 * what is whole and has an address of its sender's, and the process is the same afterwards.
 */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { libc } from '../../sys/libc.ts';
import { openTunQueue } from '../../sys/tun-queue.ts';
import { folder, inside, ip, OUTER, PORT, single, until, useHosts } from './lab.testing.ts';
import { packets, plainDatagram } from './packets.testing.ts';

useHosts();

const TOTAL = Number(process.env['FUZZ'] ?? 1_000_000);
/** At a time: so many always find room in the socket, whatever their size. */
const PORTION = 4_000;
const STRANGER = '10.9.0.3';

/** pcap-filter(7): what must not come out of the device. */
const WRONG = [
  'not ip and not ip6',
  'ip and (ip[2:2] != len or not src net 10.244.2.0/24)',
  'ip6 and (ip6[4:2] + 40 != len or not src net fd44:2::/64)',
]
  .map((one) => `(${one})`)
  .join(' or ');

interface Watch extends AsyncDisposable {
  readonly seen: readonly string[];
}

/** Tells of wrong packets that come from a device into the kernel. */
async function watch(device: string): Promise<Watch> {
  const child = spawn('tcpdump', ['-i', device, '-Q', 'in', '-n', '-l', '--immediate-mode', '-x', WRONG], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const seen: string[] = [];
  createInterface({ input: child.stdout }).on('line', (line) => seen.push(line));
  await once(child.stderr, 'data');
  child.stderr.resume();
  return {
    seen,
    async [Symbol.asyncDispose]() {
      const ended = once(child, 'exit');
      child.kill('SIGTERM');
      await ended;
    },
  };
}

/** Of /proc/net/udp: bytes that wait in the socket, and datagrams that found no room. */
function waiting(): { readonly bytes: number; readonly lost: number } {
  const port = PORT.toString(16).toUpperCase();
  const line = readFileSync('/proc/net/udp', 'utf8')
    .split('\n')
    .find((text) => text.includes(`:${port} `));
  const words = line?.trim().split(/\s+/) ?? [];
  return { bytes: Number.parseInt(words[4]?.split(':')[1] ?? '', 16), lost: Number(words.at(-1)) };
}

const resident = (pid: number): number => Number(/^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]);
const sum = (numbers: readonly (number | undefined)[]): number => numbers.reduce<number>((a, b) => a + (b ?? 0), 0);

test('the filter finds what is wrong', async () => {
  const { fd } = openTunQueue('fuzz0');
  using _device = fd;
  ip('link', 'set', 'fuzz0', 'up');
  await using watched = await watch('fuzz0');
  const put = (packet: Uint8Array): void => {
    const bytes = new Uint8Array(10 + packet.length);
    bytes.set(packet, 10);
    assert.equal(libc.write(fd.number, bytes, bytes.length), bytes.length);
  };
  const good = plainDatagram();
  put(good);
  await sleep(200);
  assert.deepEqual(watched.seen, []);
  for (const [at, value] of [
    [3, good.length + 1],
    [13, 245],
  ] as const) {
    const before = watched.seen.length;
    put(Buffer.from(good).fill(value, at, at + 1));
    await until('it is seen', () => watched.seen.length > before);
  }
});

test(`${TOTAL} random and mutated datagrams`, async (t) => {
  ip('-n', 't2', 'addr', 'add', `${STRANGER}/24`, 'dev', 'e2');
  await using opened = await single();
  const { tunnel } = opened;
  const pid = Number(readFileSync(`${folder(1)}/pid`, 'utf8'));
  await using watched = await watch('moor-udp0');
  const seed = Number(process.env['FUZZ_SEED'] ?? Date.now() % 2 ** 31);
  t.diagnostic(`FUZZ_SEED=${seed}`);
  const [file, args] = inside('t2', process.execPath, `${import.meta.dirname}/fuzz.child.ts`);
  const begin = packets().map((packet) => packet.toString('hex'));
  const what = [String(seed), OUTER[4](1), String(PORT), OUTER[4](2), STRANGER, begin.join()];
  const child: ChildProcess = spawn(file, [...args, ...what], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  assert.ok(child.stdout && child.stdin);
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const ended = once(child, 'exit');
  let [fromPeer, fromStranger, early] = [0, 0, 0];
  while (fromPeer + fromStranger < TOTAL) {
    child.stdin.write(`${Math.min(PORTION, TOTAL - fromPeer - fromStranger)}\n`);
    const { value, done } = await lines.next();
    assert.ok(done !== true, 'the sender goes on');
    const [peer = 0, stranger = 0] = value.split(' ').map(Number);
    fromPeer += peer;
    fromStranger += stranger;
    while (waiting().bytes > 0) await sleep(1);
    // What is there after a tenth: code is compiled, and the arena has been written to.
    if (early === 0 && fromPeer + fromStranger > TOTAL / 10) early = resident(pid);
  }
  child.stdin.end();
  await ended;
  assert.equal(waiting().lost, 0, 'the kernel had room for all of them');
  const counted = async (): Promise<{ readonly peer: number; readonly stranger: number }> => {
    const { drops, peers } = await tunnel.status();
    const { version, length, source, peer } = drops;
    return { peer: sum([version, length, source, peers['host2']?.receivedPackets]), stranger: peer ?? 0 };
  };
  await until('all to be counted', async () => sum(Object.values(await counted())) >= fromPeer + fromStranger);
  assert.deepEqual(await counted(), { peer: fromPeer, stranger: fromStranger });
  const { drops, peers, fastPath } = await tunnel.status();
  t.diagnostic(`${JSON.stringify(drops)} received ${peers['host2']?.receivedPackets}`);
  for (const reason of ['version', 'length', 'source', 'peer']) assert.ok((drops[reason] ?? 0) > TOTAL / 1000, reason);
  assert.equal(drops['source'], peers['host2']?.spoofed);
  assert.ok((peers['host2']?.receivedPackets ?? 0) > TOTAL / 10);
  assert.equal(fastPath.why, '');
  assert.ok(fastPath.receivedPackets > TOTAL / 1000, `${fastPath.receivedPackets} past the process`);
  assert.deepEqual(watched.seen, []);
  const late = resident(pid);
  t.diagnostic(`resident: ${early} kB after a tenth, ${late} kB at the end`);
  assert.ok(late < early + 4_096, `it grew from ${early} to ${late} kB`);
  assert.equal(Number(readFileSync(`${folder(1)}/pid`, 'utf8')), pid);
  ip('-n', 't2', 'addr', 'del', `${STRANGER}/24`, 'dev', 'e2');
});
