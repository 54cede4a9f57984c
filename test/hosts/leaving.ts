/** When the kernel of a host lets go of what led to another one, by the kernel's own word: `ip monitor` and `bridge monitor`. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { type MachineClock, type Moment, moment } from './clock.ts';
import { type Host, outer, type Sandbox, until } from './lab.ts';

/** What one peer costs, by backend: kinds of entries in the kernel. */
export const ENTRIES = {
  'host-gw': ['route'],
  vxlan: ['fdb', 'neighbour', 'route'],
  udp: ['route'],
} as const satisfies Readonly<Record<string, readonly string[]>>;

const MONITORS = { ip: ['ip', '-o', 'monitor', 'route', 'neigh'], bridge: ['bridge', 'monitor', 'fdb'] } as const;

/** Nobody's: an entry with it comes and goes until both monitors have told of it. */
const MARK = '02:00:00:00:be:ef';

export type Backend = keyof typeof ENTRIES;

export interface Leaving extends AsyncDisposable {
  /** Waits until so many entries went, and nothing is left. @returns when the last one went, and kinds of what went */
  readonly gone: (entries: number) => Promise<{ readonly last: Moment; readonly kinds: readonly string[] }>;
}

/** What a host has of another one now. @param subnet `10.244.3.0` */
async function traces({ daemon }: Host, subnet: string, n: number): Promise<readonly string[]> {
  const words = 'ip -4 route; ip neigh show nud permanent; bridge fdb show';
  const { stdout } = await daemon.inside('sh', '-c', words);
  return stdout.split('\n').filter((line) => line.startsWith(`${subnet}/`) || line.startsWith(`${subnet} `) || isFdb(line, n));
}

const isFdb = (line: string, n: number): boolean => line.includes(` dst ${outer(n)} `);

/** `Deleted 10.244.3.0/24 via 10.9.0.3 dev eth1 ...` and the like. */
function kindOf(line: string, subnet: string, n: number): string | null {
  const what = /^Deleted (.*)/i.exec(line)?.[1];
  if (what === undefined) return null;
  if (what.startsWith(`${subnet}/24 `)) return 'route';
  if (what.startsWith(`${subnet} `)) return 'neighbour';
  return isFdb(what, n) ? 'fdb' : null;
}

/** Looks on from now on. @param of whose subnet it is that goes, and which host */
export async function watchLeaving(
  clock: MachineClock,
  host: Host,
  of: { readonly host: Host; readonly sandbox: Sandbox },
): Promise<Leaving> {
  const { n } = of.host;
  const subnet = of.sandbox.address.replace(/\d+$/, '0');
  const went: { readonly kind: string; readonly at: Moment }[] = [];
  const heard = new Set<string>();
  const monitors = new Map(
    Object.entries(MONITORS).map(([name, command]) => {
      // What nsenter(1) starts in another PID namespace would live on without it.
      const monitor = host.daemon.spawnInside('setpriv', '--pdeathsig', 'KILL', ...command);
      createInterface({ input: monitor.stdout ?? assert.fail() }).on('line', (line) => {
        if (line.includes(MARK)) heard.add(name);
        const kind = kindOf(line, subnet, n);
        if (kind !== null) went.push({ kind, at: moment(clock) });
      });
      return [name, monitor];
    }),
  );
  await until(`h${host.n} is listened to`, async () => {
    await host.daemon.inside('sh', '-c', `bridge fdb add ${MARK} dev eth1 self; bridge fdb del ${MARK} dev eth1 self`);
    const neighbour = `192.0.2.1 lladdr ${MARK} dev eth1 nud permanent`;
    await host.daemon.inside('sh', '-c', `ip neigh replace ${neighbour}; ip neigh del 192.0.2.1 dev eth1`);
    return heard.size === monitors.size;
  });
  return {
    gone: async (entries) => {
      // The kernel is asked only then: ten hosts that look all the time would be busy with looking.
      await until(`h${host.n} tells that ${entries} entries of h${n} went`, async () => went.length >= entries);
      await until(`h${host.n} has nothing of h${n}`, async () => (await traces(host, subnet, n)).length === 0);
      const last = went.at(-1);
      assert.ok(last, `h${host.n} told of nothing that went`);
      return { last: last.at, kinds: went.map(({ kind }) => kind).toSorted() };
    },
    [Symbol.asyncDispose]: async () => {
      for (const monitor of monitors.values()) {
        const ended = once(monitor, 'exit');
        monitor.kill('SIGKILL');
        await ended;
      }
    },
  };
}
