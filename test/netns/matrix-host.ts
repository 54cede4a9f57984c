/** The host of matrix tests: two wires with a machine each, and which ports are published on it. It is the namespace of a private daemon. */
import assert from 'node:assert/strict';
import { startDaemon, type TestDaemon } from '../support/daemon.ts';
import { BOUNDS, type Bound, type Shape } from './matrix-table.ts';

/** Documentation addresses (RFC 5737, RFC 3849), one of each family. */
export const FIRST = { 4: '198.51.100.1', 6: '2001:db8:1::1' } as const;
export const SECOND = { 4: '203.0.113.1', 6: '2001:db8:2::1' } as const;
export const LOOPBACK = { 4: '127.0.0.1', 6: '::1' } as const;
export const REMOTE = { 4: '198.51.100.2', 6: '2001:db8:1::2' } as const;
export const NEAR = { 4: '203.0.113.2', 6: '2001:db8:2::2' } as const;
export const GATEWAY = { 4: '10.1.0.1', 6: 'fd00:1::1' } as const;

/** A port of the host's own, which every firewall of the tests lets in: what asks there and is answered is alive. */
export const ALIVE = 4999;

/** `remote` sees the host by its uplink, `near` by its second interface, and sends it packets for localhost. */
const WORLD = `set -e
mkdir -p /run/netns; mount -t tmpfs tmpfs /run/netns
sysctl -qw net.ipv6.conf.default.accept_dad=0
outside() { # namespace device host4 host6 peer4 peer6
  ip netns add $1
  ip -n $1 link set lo up
  ip netns exec $1 sysctl -qw net.ipv6.conf.default.accept_dad=0
  ip link add $2 type veth peer name eth0 netns $1
  for a in $3/24 $4/64; do ip address add $a dev $2; done
  for a in $5/24 $6/64; do ip -n $1 address add $a dev eth0; done
  ip link set $2 up
  ip -n $1 link set eth0 up
  ip -n $1 route add default via $3
  ip -n $1 -6 route add default via $4
}
outside remote up0 ${FIRST[4]} ${FIRST[6]} ${REMOTE[4]} ${REMOTE[6]}
outside near lan0 ${SECOND[4]} ${SECOND[6]} ${NEAR[4]} ${NEAR[6]}
ip route add default via ${REMOTE[4]}
ip -6 route add default via ${REMOTE[6]}
# No honest host does that.
ip netns exec near sysctl -qw net.ipv4.conf.eth0.route_localnet=1
misroute() { # family localhost gateway source
  ip -n near -$1 rule add pref 1 to $2 lookup 50
  ip -n near -$1 route add $2 via $3 dev eth0 src $4 table 50
  ip -n near -$1 rule add pref 2 lookup local
  ip -n near -$1 rule del pref 0
}
misroute 4 127.0.0.1 ${SECOND[4]} ${NEAR[4]}
misroute 6 ::1 ${SECOND[6]} ${NEAR[6]}
# Every refusal is sent, however many there are.
sysctl -qw net.ipv4.icmp_ratelimit=0 net.ipv4.icmp_msgs_per_sec=100000 net.ipv4.icmp_msgs_burst=100000 net.ipv6.icmp.ratelimit=0
`;

/** Runs a script on the daemon's host. @throws when it fails */
export async function script(daemon: TestDaemon, text: string): Promise<string> {
  const { code, stdout, stderr } = await daemon.inside('sh', '-c', text);
  assert.equal(code, 0, `${text}\n${stdout}${stderr}`);
  return stdout;
}

/** A host on which nothing runs yet. */
export async function startHost(): Promise<TestDaemon> {
  const host = await startDaemon({ start: false });
  try {
    await script(host, WORLD);
    return host;
  } catch (error) {
    await host[Symbol.asyncDispose]();
    throw error;
  }
}

/** A path on the host, for whoever is outside. */
export const placeOn = ({ holder }: TestDaemon, path: string): string => `/proc/${holder}/root${path}`;

/** How many ports a range has; not so few that it would be as many single ones (drivers/bridge/ports.ts). */
const LENGTH = 8;

export interface Ports {
  /** First port on each side. */
  readonly host: number;
  readonly container: number;
  readonly length: number;
}

/** No two cells share a port, on either side: a server tells by its own port which binding led to it. */
export function portsOf(bound: Bound, shape: Shape): Ports {
  const n = BOUNDS.indexOf(bound);
  switch (shape) {
    case 'single':
      return { host: 8080 + n, container: 80 + n, length: 1 };
    case 'range':
      return { host: 9000 + 10 * n, container: 9000 + 10 * n, length: LENGTH };
    case 'shifted':
      return { host: 9100 + 10 * n, container: 9200 + 10 * n, length: LENGTH };
  }
}

/** As the user writes them after `-p`. */
export function wanted(bounds: readonly Bound[], shapes: readonly Shape[], families: readonly (4 | 6)[]): readonly string[] {
  const written = (address: string): string => (address.includes(':') ? `[${address}]:` : `${address}:`);
  const addresses: Readonly<Record<Bound, readonly string[]>> = {
    any: [''],
    one: families.map((family) => written(FIRST[family])),
    localhost: families.map((family) => written(LOOPBACK[family])),
    none: [],
  };
  const range = (from: number, length: number): string => (length === 1 ? `${from}` : `${from}-${from + length - 1}`);
  return bounds.flatMap((bound) =>
    shapes.flatMap((shape) => {
      const { host, container, length } = portsOf(bound, shape);
      return addresses[bound].flatMap((address) =>
        ['tcp', 'udp'].map((protocol) => `${address}${range(host, length)}:${range(container, length)}/${protocol}`),
      );
    }),
  );
}
