/** What the process makes of packets that come in a batch: as few as can be, each flow in its order. */
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { test } from 'node:test';
import { folder, inside, OUTER, PORT, single, until, useHosts } from './lab.testing.ts';
import { plainDatagram, pureAck, segment } from './packets.testing.ts';

useHosts();

/** All of it in one batch. @returns what came out of the device, in words */
async function through(...packets: readonly Buffer[]): Promise<readonly string[]> {
  await using opened = await single();
  // Headers are enough: of packets as long as they may be its buffer holds twenty, while it waits for a CPU.
  const tcpdump = spawn(
    'tcpdump',
    ['-s', '128', '-i', 'moor-udp0', '-Q', 'in', '-n', '-l', '-S', '--immediate-mode', 'src 10.244.2.2'],
    {
      stdio: ['ignore', 'pipe', 'pipe'],
    },
  );
  try {
    const seen: string[] = [];
    createInterface({ input: tcpdump.stdout }).on('line', (line) => {
      const [, port = '', flags = ''] = /10\.244\.2\.2\.(\d+) > \S+: Flags \[(\S+)\]/.exec(line) ?? [];
      const [, sequence = ''] = /seq ([\d:]+)/.exec(line) ?? [];
      seen.push(port === '' ? 'other' : `${port} ${flags} ${sequence}`.trim());
    });
    await once(tcpdump.stderr, 'data');
    tcpdump.stderr.resume();
    const pid = Number(readFileSync(`${folder(1)}/pid`, 'utf8'));
    process.kill(pid, 'SIGSTOP');
    const program = `${import.meta.dirname}/bare.child.ts`;
    const [file, args] = inside('t2', process.execPath, program, OUTER[4](2), OUTER[4](1), String(PORT));
    execFileSync(file, args, { input: packets.map((packet) => packet.toString('hex')).join('\n') });
    process.kill(pid, 'SIGCONT');
    const received = async (): Promise<number> => (await opened.tunnel.status()).peers['host2']?.receivedPackets ?? 0;
    await until('all have arrived', async () => (await received()) === packets.length);
    // The last line may still be on its way from tcpdump.
    await until('all are seen', () => seen.includes('other'));
    return seen.slice(0, seen.indexOf('other'));
  } finally {
    const ended = once(tcpdump, 'exit');
    tcpdump.kill('SIGTERM');
    await ended;
  }
}

const END = plainDatagram();

test('a flow that comes from two places at once is put in order, and together', async () => {
  const packets = [
    segment(3000),
    segment(1000),
    segment(3100),
    segment(1100),
    segment(1200, { payload: 50 }),
    segment(3200),
    END,
  ];
  assert.deepEqual(await through(...packets), ['7000 . 1000:1250', '7000 . 3000:3300']);
});

test('flows that come mixed are put together each', async () => {
  const packets = [0, 100, 200, 300].flatMap((more) => [7000, 7001, 7002].map((port) => segment(1000 + more, { port })));
  assert.deepEqual(await through(...packets, END), ['7000 . 1000:1400', '7001 . 1000:1400', '7002 . 1000:1400']);
});

test('a push ends what it is in, and comes in order by itself; sequence numbers go round', async () => {
  const packets = [segment(2100), segment(2000, { push: true }), segment(4294967246), segment(50), segment(150), END];
  assert.deepEqual(await through(...packets), ['7000 . 4294967246:250', '7000 P. 2000:2100', '7000 . 2100:2200']);
});

test('what is no data keeps its place', async () => {
  const packets = [segment(1000), pureAck(), segment(1100), END];
  assert.deepEqual(await through(...packets), ['7000 . 1000:1100', '7000 .', '7000 . 1100:1200']);
});

test('more flows than are put together at a time: all arrive, each in its order', async () => {
  const ports = Array.from({ length: 20 }, (_, i) => 7000 + i);
  const packets = [0, 100].flatMap((more) => ports.map((port) => segment(1000 + more, { port })));
  const seen = await through(...packets, END);
  for (const port of ports) {
    const own = seen.filter((line) => line.startsWith(`${port} `));
    assert.ok(['1000:1200', '1000:1100 1100:1200'].includes(own.map((line) => line.split(' ')[2]).join(' ')), own.join());
  }
});
