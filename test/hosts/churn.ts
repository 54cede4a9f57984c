/** Endpoints that come and go at random on overlay networks of several hosts, and what everybody must then have of everybody else. */
import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { base64, type EtcdServer } from '../support/etcd.ts';
import type { Random } from '../support/random.ts';
import { createOverlay, type Host, until } from './lab.ts';

export interface ChurnSize {
  readonly hosts: number;
  readonly networks: number;
  /** Endpoints that live at a time, more or less. */
  readonly endpoints: number;
  readonly seconds: number;
}

/** `hosts=10,networks=50,endpoints=1000,seconds=300` */
export function churnSize(text: string | undefined, otherwise: ChurnSize): ChurnSize {
  const given = new Map((text ?? '').split(',').map((one) => [one.replace(/=.*/, ''), one.replace(/.*=/, '')]));
  const number = (key: keyof ChurnSize): number => Number(given.get(key) ?? otherwise[key]);
  return {
    hosts: number('hosts'),
    networks: number('networks'),
    endpoints: number('endpoints'),
    seconds: number('seconds'),
  };
}

export interface Live {
  readonly host: Host;
  readonly name: string;
  readonly netns: string;
  readonly id: string;
  readonly network: string;
  readonly address: string;
  readonly mac: string;
}

export interface Tally {
  created: number;
  removed: number;
  refused: number;
  kills: number;
}

interface SandboxJson {
  readonly name: string;
  readonly netns: { readonly path: string };
  readonly endpoints: readonly {
    readonly id: string;
    readonly networkId: string;
    readonly ipv4: string;
    readonly mac: string;
    readonly automatic?: boolean;
  }[];
}

/** Internal, so that no gateway network takes part. @returns ids by name */
export async function createNetworks(hosts: readonly Host[], count: number): Promise<ReadonlyMap<string, string>> {
  const ids = new Map<string, string>();
  const [h1] = hosts;
  assert.ok(h1);
  for (let i = 0; i < count; i++) {
    const name = `churn${i}`;
    await createOverlay(h1, name, { Internal: true });
    const { Id } = (await h1.daemon.request('GET', `/networks/${name}`)).json() as { Id: string };
    ids.set(name, Id);
  }
  for (const { n, daemon } of hosts)
    await until(`h${n} has the networks`, async () => {
      const list = (await daemon.request('GET', '/networks')).json() as readonly { readonly Driver: string }[];
      return list.filter(({ Driver }) => Driver === 'overlay').length === count;
    });
  return ids;
}

/** One host's share, one operation after the other; a daemon that is away is waited for. */
export async function churn(
  host: Host,
  options: {
    readonly random: Random;
    readonly networks: readonly string[];
    readonly share: number;
    readonly until: number;
    readonly tally: Tally;
  },
): Promise<void> {
  const { random, networks, share, tally } = options;
  let next = 0;
  const names: string[] = [];
  while (Date.now() < options.until) {
    const more = random.chance(names.length < share ? 0.7 : 0.3);
    try {
      if (more) {
        const name = `c${host.n}-${next++}`;
        const answer = await host.daemon.request('POST', '/moor/sandboxes', {
          name,
          networks: [{ network: random.pick(networks) }],
        });
        if (answer.status === 201) {
          names.push(name);
          tally.created++;
        } else tally.refused++;
      } else if (names.length > 0) {
        const name = names.splice(random.below(names.length), 1)[0] ?? '';
        const answer = await host.daemon.request('DELETE', `/moor/sandboxes/${name}`);
        if (answer.status < 300) tally.removed++;
        else tally.refused++;
      }
    } catch {
      // The daemon was killed in the middle of it: what became of it is asked at the end.
      await sleep(100);
    }
  }
}

/** What each daemon says that it has. */
export async function livesOf(hosts: readonly Host[]): Promise<readonly Live[]> {
  const lists = await Promise.all(
    hosts.map(async (host) => {
      const answer = await host.daemon.request('GET', '/moor/sandboxes');
      assert.equal(answer.status, 200, answer.text);
      return (answer.json() as readonly SandboxJson[]).flatMap(({ name, netns, endpoints }) =>
        endpoints
          .filter(({ automatic }) => automatic !== true)
          .map(
            ({ id, networkId, ipv4, mac }): Live => ({
              host,
              name,
              netns: netns.path,
              id,
              network: networkId,
              address: ipv4.replace(/\/.*/, ''),
              mac,
            }),
          ),
      );
    }),
  );
  return lists.flat();
}

/** What leads to other hosts in each network's namespace of a host, as ip(8) and bridge(8) show it. */
const SHOW = `cd "$0" 2>/dev/null || exit 0
for pin in 1-*; do
  [ -e "$pin" ] || continue
  nsenter --net="$pin" ip neigh show dev vxlan0 | sed "s/^/$pin /"
  nsenter --net="$pin" bridge fdb show dev vxlan0 | sed "s/^/$pin /"
  echo "$pin"
done`;

export async function entriesOf({ daemon }: Host): Promise<readonly string[]> {
  const { stdout } = await daemon.inside('bash', '-c', SHOW, `${daemon.directory}/exec/netns`);
  return stdout
    .split('\n')
    .map((line) => line.trim().replace(' link-netnsid 0', ''))
    .filter((line) => /^1-\w+$| lladdr | dst | static$/.test(line))
    .toSorted();
}

/** The same, as it has to be. @param outer address of a host on the underlay */
export function wantedEntries(host: Host, lives: readonly Live[], outer: (n: number) => string): readonly string[] {
  const own = new Set(lives.filter((one) => one.host === host).map(({ network }) => network));
  const pin = (network: string): string => `1-${network.slice(0, 10)}`;
  return [
    ...[...own].map(pin),
    ...lives
      .filter((one) => one.host !== host && own.has(one.network))
      .flatMap(({ network, address, mac, host: { n } }) => [
        `${pin(network)} ${address} lladdr ${mac} PERMANENT`,
        `${pin(network)} ${mac} dst ${outer(n)} self permanent`,
        `${pin(network)} ${mac} master br0 static`,
      ]),
  ].toSorted();
}

/** Keys below a folder, without the folder. */
export async function storedKeys(store: EtcdServer, folder: string): Promise<readonly string[]> {
  const prefix = `/test/${folder}/`;
  const { kvs = [] } = (await store.gateway('kv/range', {
    key: base64(prefix),
    range_end: base64(`${prefix.slice(0, -1)}0`),
    keys_only: true,
  })) as { kvs?: readonly { readonly key: string }[] };
  return kvs.map(({ key }) => Buffer.from(key, 'base64').toString().slice(prefix.length)).toSorted();
}

/** Whether one packet comes back. */
export async function reach({ host, netns }: Live, address: string, seconds: number): Promise<boolean> {
  const words = ['ping', '-n', '-c', '1', '-W', String(seconds), address];
  return (await host.daemon.inside('nsenter', `--net=${netns}`, ...words)).code === 0;
}
