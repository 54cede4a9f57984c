/** Two tunnels over a veth pair: this process's namespace is host 1, `t2` is host 2; on each a container namespace behind it. */
import '../../../test/support/isolated.ts';
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { after, before } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { silentLogger } from '../../base/clock.ts';
import { parseIp, parsePrefix } from '../../base/ip.ts';
import type { Tunnel, TunnelPeer } from '../../contracts/tunnel.ts';
import { openNetns, withNetns } from '../../sys/netns.ts';
import { openUdpTunnel, type UdpTunnelOptions } from './tunnel.ts';

export const ip = (...args: readonly string[]): string => execFileSync('ip', args, { encoding: 'utf8' });
const NAMES = ['t2', 'c1', 'c2'] as const;
export const PORT = 8285;
/** 1500 less 20 and 8; over IPv6 less 40 and 8. */
const MTU = { 4: 1472, 6: 1452 } as const;
export const OUTER = { 4: (i: number) => `10.9.0.${i}`, 6: (i: number) => `fd09::${i}` } as const;

export const inside = (netns: string, ...command: readonly string[]): [string, string[]] => [
  'ip',
  ['netns', 'exec', netns, ...command],
];
/** Where the tunnel of a host has its files. */
export const folder = (i: number): string => `${ROOT}/host${i}`;
const ROOT = mkdtempSync('/tmp/tunnel-');
export const host = (i: number, ...args: readonly string[]): string => (i === 1 ? ip(...args) : ip('-n', 't2', ...args));

/** The underlay: e1 and e2. */
export function makeWire(): void {
  ip('link', 'add', 'e1', 'type', 'veth', 'peer', 'name', 'e2', 'netns', 't2');
  for (const i of [1, 2]) {
    host(i, 'addr', 'add', `10.9.0.${i}/24`, 'dev', `e${i}`);
    host(i, 'addr', 'add', `fd09::${i}/64`, 'nodad', 'dev', `e${i}`);
    host(i, 'link', 'set', `e${i}`, 'up');
  }
}

/** Registers what makes the hosts before the first test of a file, and takes them away after the last. */
export function useHosts(): void {
  before(() => {
    // A host whose link-local addresses are still checked for duplicates (a second or two) asks for no neighbour of a packet that it passes on.
    const unchecked = ['sysctl', '-qw', 'net.ipv6.conf.default.accept_dad=0'];
    execFileSync('sysctl', unchecked.slice(1));
    for (const name of NAMES) {
      ip('netns', 'add', name);
      execFileSync(...inside(name, ...unchecked));
      ip('-n', name, 'link', 'set', 'lo', 'up');
    }
    ip('link', 'set', 'lo', 'up');
    makeWire();
    for (const i of [1, 2]) {
      host(i, 'link', 'add', `v${i}`, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', i === 1 ? 'c1' : 'c2');
      host(i, 'addr', 'add', `10.244.${i}.1/24`, 'dev', `v${i}`);
      host(i, 'addr', 'add', `fd44:${i}::1/64`, 'nodad', 'dev', `v${i}`);
      host(i, 'link', 'set', `v${i}`, 'up');
      ip('-n', `c${i}`, 'addr', 'add', `10.244.${i}.2/24`, 'dev', 'eth0');
      ip('-n', `c${i}`, 'addr', 'add', `fd44:${i}::2/64`, 'nodad', 'dev', 'eth0');
      ip('-n', `c${i}`, 'link', 'set', 'eth0', 'up');
      ip('-n', `c${i}`, 'route', 'add', 'default', 'via', `10.244.${i}.1`);
      ip('-n', `c${i}`, '-6', 'route', 'add', 'default', 'via', `fd44:${i}::1`);
      const sysctl = ['sysctl', '-qw', 'net.ipv4.ip_forward=1', 'net.ipv6.conf.all.forwarding=1'];
      if (i === 1) execFileSync('sysctl', sysctl.slice(1));
      else execFileSync(...inside('t2', ...sysctl));
    }
  });

  after(() => {
    rmSync(ROOT, { recursive: true, force: true });
    for (const name of NAMES) ip('netns', 'del', name);
    execFileSync('sysctl', ['-qw', 'net.ipv4.ip_forward=0', 'net.ipv6.conf.all.forwarding=0']);
    // What a namespace held is taken down after it has gone.
    for (const link of ['e1', 'v1']) execFileSync('sh', ['-c', `ip link del ${link} 2>/dev/null || true`]);
  });
}

export const peer = (i: number, family: 4 | 6, own: boolean): TunnelPeer => ({
  name: `host${i}`,
  endpoint: { address: parseIp(OUTER[family](i)), port: PORT },
  subnets: [parsePrefix(`10.244.${i}.0/24`), parsePrefix(`fd44:${i}::/64`)],
  own,
});

export interface Pair extends AsyncDisposable {
  readonly tunnels: readonly Tunnel[];
}

/** What the tunnel of a host is opened with. */
export const optionsOf = (i: number, family: 4 | 6, own = true): UdpTunnelOptions => ({
  device: 'moor-udp0',
  local: { address: parseIp(OUTER[family](i)), port: PORT },
  peers: [peer(3 - i, family, own)],
  underlay: `e${i}`,
  directory: folder(i),
  logger: silentLogger,
});

/** @param ends what is otherwise, of host 1 and of host 2 */
export async function pair(family: 4 | 6, own: boolean, ends: readonly Partial<UdpTunnelOptions>[] = []): Promise<Pair> {
  const open = (i: number): Promise<Tunnel> => openUdpTunnel({ ...optionsOf(i, family, own), ...ends[i - 1] });
  await using stack = new AsyncDisposableStack();
  const one = await open(1);
  stack.defer(() => one.end());
  // Everything that depends on the namespace happens before the first wait.
  const opened: Promise<Tunnel>[] = [];
  using netns = openNetns('/run/netns/t2');
  withNetns(netns, () => void opened.push(open(2)));
  const [second] = await Promise.all(opened);
  assert.ok(second);
  stack.defer(() => second.end());
  for (const i of [1, 2]) {
    host(i, 'link', 'set', 'moor-udp0', 'mtu', String(MTU[family]), 'up');
    host(i, 'route', 'add', `10.244.${3 - i}.0/24`, 'dev', 'moor-udp0');
    host(i, '-6', 'route', 'add', `fd44:${3 - i}::/64`, 'dev', 'moor-udp0');
  }
  const owned = stack.move();
  return { tunnels: [one, second], [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

/** Host 1's alone. */
export async function single(): Promise<{ readonly tunnel: Tunnel } & AsyncDisposable> {
  const tunnel = await openUdpTunnel(optionsOf(1, 4));
  host(1, 'link', 'set', 'moor-udp0', 'mtu', String(MTU[4]), 'up');
  return { tunnel, [Symbol.asyncDispose]: () => tunnel.end() };
}

export async function until(what: string, check: () => boolean | Promise<boolean>): Promise<void> {
  for (let i = 0; !(await check()); i++) {
    assert.ok(i < 600, `waited for ${what}`);
    await sleep(50);
  }
}
