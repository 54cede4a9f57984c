/** The two sides of a pair of hosts (hosts.ts): their addresses, and running commands in network namespaces. */
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';

export const SIDES = [1, 2] as const;
export type Side = (typeof SIDES)[number];

/** Of the wire between the hosts as well as of the containers. */
export type Family = 4 | 6;

export const other = (side: Side): Side => (side === 1 ? 2 : 1);

const BITS = { 4: { outer: 24, inner: 24 }, 6: { outer: 64, inner: 64 } } as const;

/** A host on the wire. */
export const outer = (side: Side, family: Family): string => (family === 4 ? `10.9.0.${side}` : `fd09::${side}`);
export const outerBits = (family: Family): number => BITS[family].outer;

/** Address of a host's subnet with a number in it: 0 the subnet's own, 1 the gateway, 2 the container. */
export const inner = (side: Side, family: Family, n: number): string =>
  family === 4 ? `10.244.${side}.${n}` : `fd44:0:0:${side}::${n}`;
export const innerBits = (family: Family): number => BITS[family].inner;
export const subnet = (side: Side, family: Family): string => `${inner(side, family, 0)}/${innerBits(family)}`;
/** What all subnets are of. */
export const range = (family: Family): string => (family === 4 ? '10.244.0.0/16' : 'fd44::/48');

/** Command line that runs what follows it in the network namespace of a process. */
export const enter = (pid: number): readonly string[] => ['nsenter', '-t', String(pid), '--net', '--'];

export function inside(pid: number, line: string): void {
  const [command = '', ...args] = [...enter(pid), ...line.split(' ')];
  execFileSync(command, args, { stdio: ['ignore', 'ignore', 'inherit'] });
}

/** The same for what it prints. @throws when it does not exit with 0 */
export function see(pid: number, line: string): string {
  const [command = '', ...args] = [...enter(pid), ...line.split(' ')];
  return execFileSync(command, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] });
}

/** A network namespace, with a process in it. @returns its pid */
export async function namespace(stack: AsyncDisposableStack): Promise<number> {
  const child = spawn('unshare', ['--net', 'sh', '-c', 'ip link set lo up; echo ready; exec sleep infinity'], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  await once(child.stdout, 'data');
  stack.defer(async () => {
    const ended = once(child, 'exit');
    child.kill('SIGKILL');
    await ended;
  });
  return child.pid ?? 0;
}

/** Waits until something can be done that another process makes possible. @throws what it throws after 10 s */
export async function settled(work: () => void): Promise<void> {
  for (const end = Date.now() + 10_000; ; await sleep(100)) {
    try {
      work();
      return;
    } catch (error) {
      if (Date.now() > end) throw error;
    }
  }
}
