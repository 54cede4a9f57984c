// test-timeout: 120 s
/** Hundreds of networks, attachments and sandboxes come and go: descriptors, memory, links and namespaces are what they were. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { isDeepStrictEqual } from 'node:util';
import { startDaemon, type TestDaemon } from '../support/daemon.ts';
import { until } from '../support/snapshot.ts';
import { say } from '../support/say.ts';
import { faults, hostLinks, mountedPins } from '../support/truth.ts';

const CYCLES = 500;
/** Cycles before the first count: caches, compiled code and the heap have their usual size then. */
const WARM_UP = 100;
const AT_ONCE = 4;
/** Bytes by which the resident set may be larger in the end. The heap breathes by 20 MB: only a leak of 80 KiB in each cycle shows. */
const GROWTH = 40 * 1024 * 1024;
/** Descriptors that may be open at one time and not at another: a leak in every fiftieth cycle shows. */
const SLACK = 10;

/** @param what method and path */
async function ask(daemon: TestDaemon, what: string, body?: unknown): Promise<void> {
  const [method = '', path = ''] = what.split(' ');
  const { status, text } = await daemon.request(method, path, body);
  assert.ok(status < 300, `${what}: ${status} ${text}`);
}

/** A network comes, a sandbox that stays is attached to it and taken off, another sandbox lives on it, and it goes. */
async function cycle(daemon: TestDaemon, i: number): Promise<void> {
  const lane = i % AT_ONCE;
  const name = `n${lane}`;
  await ask(daemon, 'POST /moor/networks', { name, ipv6: i % 3 === 0, internal: i % 5 === 0 });
  await ask(daemon, `POST /moor/networks/${name}/connect`, { sandbox: `stays${lane}` });
  if (i % 4 === 0) {
    await ask(daemon, 'POST /moor/sandboxes', { name: `goes${lane}`, networks: [{ network: name }] });
    await ask(daemon, `DELETE /moor/sandboxes/goes${lane}`);
  }
  await ask(daemon, `POST /moor/networks/${name}/disconnect`, { sandbox: `stays${lane}` });
  await ask(daemon, `DELETE /moor/networks/${name}`);
}

async function cycles(daemon: TestDaemon, count: number): Promise<void> {
  const lane = async (first: number): Promise<void> => {
    for (let i = first; i < count; i += AT_ONCE) await cycle(daemon, i);
  };
  await Promise.all(Array.from({ length: AT_ONCE }, (_, first) => lane(first)));
}

interface Use {
  readonly descriptors: number;
  readonly links: readonly string[];
  readonly pins: readonly string[];
  /** Namespaces that the kernel still knows under a number, from the daemon's (ip-netns(8) list-id). */
  readonly namespaces: number;
}

async function useNow(daemon: TestDaemon): Promise<Use> {
  const pid = daemon.pid();
  const { stdout } = await daemon.inside('ip', 'netns', 'list-id');
  return {
    descriptors: readdirSync(`/proc/${pid}/fd`).length,
    links: (await hostLinks(daemon)).map(({ ifname }) => ifname).toSorted(),
    pins: mountedPins(daemon).toSorted(),
    namespaces: stdout.split('\n').filter(Boolean).length,
  };
}

/** Milliseconds between two looks that must agree: the daemon lets go of namespaces that it has worked in after a tenth of a second. */
const REST_MS = 300;

/** When nothing moves any more: connections end, and the kernel takes namespaces apart, some time after the last answer. */
async function use(daemon: TestDaemon): Promise<Use> {
  let last = await useNow(daemon);
  const quiet = await until(async () => {
    await sleep(REST_MS);
    const before = last;
    last = await useNow(daemon);
    return isDeepStrictEqual(last, before);
  });
  assert.ok(quiet, 'the daemon does not come to rest');
  return last;
}

/** VmRSS in bytes, proc_pid_status(5). */
const resident = (daemon: TestDaemon): number =>
  Number(/VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${daemon.pid()}/status`, 'utf8'))?.[1]) * 1024;

test(`${CYCLES} cycles leave nothing behind`, async () => {
  await using daemon = await startDaemon();
  for (let lane = 0; lane < AT_ONCE; lane++) await ask(daemon, 'POST /moor/sandboxes', { name: `stays${lane}` });
  await cycles(daemon, WARM_UP);
  const before = await use(daemon);
  const memory = resident(daemon);
  await cycles(daemon, CYCLES);
  const { descriptors, ...rest } = await use(daemon);
  assert.ok(descriptors <= before.descriptors + SLACK, `${descriptors} descriptors, ${before.descriptors} before`);
  assert.deepEqual(rest, { links: before.links, pins: before.pins, namespaces: before.namespaces });
  const growth = resident(daemon) - memory;
  say(`resident: ${Math.round(memory / 1024)} KiB, and ${Math.round(growth / 1024)} KiB more after ${CYCLES} cycles`);
  assert.ok(growth < GROWTH, `${growth} bytes more`);
  assert.deepEqual(await faults(daemon), []);
  assert.doesNotMatch(daemon.log(), / (WARN|ERROR) /);
});
