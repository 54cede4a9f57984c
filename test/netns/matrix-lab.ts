/**
 * A real daemon on a host of its own, and a process in every place from which somebody asks: `run` asks for every cell of the
 * matrix at once with real packets. The host is the namespace of a private daemon (test/support/daemon.ts), which takes everything with it.
 */
import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ExposureReport, Reach } from '../../src/contracts/exposure.ts';
import type { Sandbox } from '../../src/model/sandbox.ts';
import { startDaemon, type TestDaemon } from '../support/daemon.ts';
import { type MatrixAgent, matrixAgent } from './matrix-agent.ts';
import type { Question } from './matrix-agent.child.ts';
import {
  allCells,
  BOUNDS,
  type Bound,
  type Cell,
  nameOf,
  type Origin,
  type Outcome,
  SHAPES,
  type Shape,
  type Target,
} from './matrix-table.ts';

/** Documentation addresses (RFC 5737, RFC 3849), one of each family. */
const FIRST = { 4: '198.51.100.1', 6: '2001:db8:1::1' } as const;
const SECOND = { 4: '203.0.113.1', 6: '2001:db8:2::1' } as const;
const LOOPBACK = { 4: '127.0.0.1', 6: '::1' } as const;
export const REMOTE = { 4: '198.51.100.2', 6: '2001:db8:1::2' } as const;
const GATEWAY = { 4: '10.1.0.1', 6: 'fd00:1::1' } as const;

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
outside near lan0 ${SECOND[4]} ${SECOND[6]} 203.0.113.2 2001:db8:2::2
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
misroute 4 127.0.0.1 ${SECOND[4]} 203.0.113.2
misroute 6 ::1 ${SECOND[6]} 2001:db8:2::2
# Every refusal is sent, however many there are.
sysctl -qw net.ipv4.icmp_ratelimit=0 net.ipv4.icmp_msgs_per_sec=100000 net.ipv4.icmp_msgs_burst=100000 net.ipv6.icmp.ratelimit=0
`;

/** How many ports a range has; not so few that it would be as many single ones (drivers/bridge/ports.ts). */
const LENGTH = 8;

interface Ports {
  /** First port on each side. */
  readonly host: number;
  readonly container: number;
  readonly length: number;
}

/** No two cells share a port, on either side: a server tells by its own port which binding led to it. */
function portsOf(bound: Bound, shape: Shape): Ports {
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
export function wanted(): readonly string[] {
  const addresses: Readonly<Record<Bound, readonly string[]>> = {
    any: [''],
    one: [`${FIRST[4]}:`, `[${FIRST[6]}]:`],
    localhost: [`${LOOPBACK[4]}:`, `[${LOOPBACK[6]}]:`],
    none: [],
  };
  const range = (from: number, length: number): string => (length === 1 ? `${from}` : `${from}-${from + length - 1}`);
  return BOUNDS.flatMap((bound) =>
    SHAPES.flatMap((shape) => {
      const { host, container, length } = portsOf(bound, shape);
      return addresses[bound].flatMap((address) =>
        ['tcp', 'udp'].map((protocol) => `${address}${range(host, length)}:${range(container, length)}/${protocol}`),
      );
    }),
  );
}

/** null: it is not asked. */
export type Expect = (cell: Cell) => Outcome | null;

export interface MatrixLab extends AsyncDisposable {
  readonly daemon: TestDaemon;
  /** Asks for all cells. @returns those that are not as expected, in words */
  readonly run: (expect: Expect) => Promise<readonly string[]>;
  /** What `moor ports` says and packets do not do, in words; `compared` counts what was looked at. */
  readonly compare: (expect: Expect) => Promise<{ readonly wrong: readonly string[]; readonly compared: ReadonlySet<string> }>;
  readonly agentOf: (origin: Origin) => MatrixAgent;
  readonly question: (cell: Cell, last?: boolean) => Question;
  readonly report: () => Promise<ExposureReport>;
}

export interface MatrixOptions {
  readonly bridgeNf: boolean;
  /** Runs when the host is there and the daemon is not yet. */
  readonly prepare?: (daemon: TestDaemon, stack: AsyncDisposableStack) => Promise<void>;
}

/** Runs a script on the daemon's host. @throws when it fails */
export async function script(daemon: TestDaemon, text: string): Promise<string> {
  const { code, stdout, stderr } = await daemon.inside('sh', '-c', text);
  assert.equal(code, 0, `${text}\n${stdout}${stderr}`);
  return stdout;
}

export async function createMatrixLab(options: MatrixOptions): Promise<MatrixLab> {
  await using stack = new AsyncDisposableStack();
  const daemon = stack.use(await startDaemon({ start: false }));
  await script(daemon, WORLD);
  await options.prepare?.(daemon, stack);
  const value = options.bridgeNf ? 1 : 0;
  await script(daemon, `sysctl -qw net.bridge.bridge-nf-call-iptables=${value} net.bridge.bridge-nf-call-ip6tables=${value}`);
  await daemon.start();

  const post = async (path: string, body: object): Promise<unknown> => {
    const answer = await daemon.request('POST', path, body);
    assert.equal(answer.status, 201, answer.text);
    return (answer.json() as { readonly value: unknown }).value;
  };
  const network = (name: string, n: number): Promise<unknown> =>
    post('/moor/networks', { name, ipv6: true, pools: [{ subnet: `10.${n}.0.0/24` }, { subnet: `fd00:${n}::/64` }] });
  await Promise.all([network('front', 1), network('back', 2)]);
  const sandbox = async (name: string, on: string, ports: readonly string[] = []): Promise<Sandbox> =>
    (await post('/moor/sandboxes', { name, networks: [{ network: on }], ports })) as Sandbox;
  const web = await sandbox('web', 'front', wanted());
  const [same, other] = await Promise.all([sandbox('peer', 'front'), sandbox('stranger', 'back')]);

  const placeIn = (path: string): string => `/proc/${daemon.holder}/root${path}`;
  const pin = ({ netns }: Sandbox): string => placeIn(netns.type === 'host' ? '' : netns.path);
  const host = stack.use(matrixAgent(`/proc/${daemon.holder}/ns/net`));
  const agents: Readonly<Record<Origin, MatrixAgent>> = {
    remote: stack.use(matrixAgent(placeIn('/run/netns/remote'))),
    neighbour: stack.use(matrixAgent(placeIn('/run/netns/near'))),
    localhost: host,
    own: host,
    other: stack.use(matrixAgent(pin(other))),
    same: stack.use(matrixAgent(pin(same))),
    itself: stack.use(matrixAgent(pin(web))),
  };
  await host.listen(ALIVE);
  await agents.itself.listen(
    ...BOUNDS.flatMap((bound) =>
      SHAPES.flatMap((shape) => {
        const { container, length } = portsOf(bound, shape);
        return length === 1 ? [container] : [container, container + length - 1];
      }),
    ),
  );

  const addressOf = ({ endpoints }: Sandbox, family: 4 | 6): string => (endpoints[0]?.[`ipv${family}`] ?? '').split('/')[0] ?? '';
  const asked = ({ family, target }: Pick<Cell, 'family' | 'target'>): string => {
    const places: Readonly<Record<Target, string>> = {
      loopback: LOOPBACK[family],
      first: FIRST[family],
      second: SECOND[family],
      sandbox: addressOf(web, family),
    };
    return places[target];
  };
  const sourceOf = (cell: Cell): string => {
    const { origin, family } = cell;
    switch (origin) {
      case 'remote':
        return REMOTE[family];
      case 'neighbour':
        return family === 4 ? '203.0.113.2' : '2001:db8:2::2';
      case 'localhost':
      case 'own':
        return asked(cell);
      case 'other':
      case 'same':
      case 'itself':
        return addressOf({ other, same, itself: web }[origin], family);
    }
  };
  const question = (cell: Cell, last = false): Question => {
    const { host: from, container, length } = portsOf(cell.bound, cell.shape);
    const port = (cell.target === 'sandbox' ? container : from) + (last ? length - 1 : 0);
    return { protocol: cell.protocol, address: asked(cell), port };
  };
  /** `ADDRESS PORT` that the server says for an outcome; what is no answer stands for itself. */
  const inWords = (cell: Cell, outcome: Outcome, last: boolean): string => {
    const { container, length } = portsOf(cell.bound, cell.shape);
    const port = container + (last ? length - 1 : 0);
    switch (outcome) {
      case 'kept':
        return `${sourceOf(cell)} ${port}`;
      case 'gateway':
        return `${GATEWAY[cell.family]} ${port}`;
      case 'host':
        return `${asked(cell)} ${port}`;
      case 'refused':
      case 'silence':
        return outcome;
    }
  };

  /** The host's address on the wire that they are on: a UDP server on any address answers by that one. */
  const nearest = (origin: Origin): Readonly<Record<4 | 6, string>> => {
    if (origin === 'neighbour') return SECOND;
    if (origin === 'other') return { 4: '10.2.0.1', 6: 'fd00:2::1' };
    return origin === 'same' || origin === 'itself' ? GATEWAY : FIRST;
  };
  /**
   * Milliseconds that nobody has answered after everybody concerned has shown to be alive. A packet takes microseconds.
   */
  const grace = 100;
  /** Asks by the ways that the unanswered questions took, part by part: from there to the host, from the host to the server. */
  const alive = async (origins: ReadonlySet<Origin>): Promise<void> => {
    const ways = (['tcp', 'udp'] as const).flatMap((protocol) => ([4, 6] as const).map((family) => ({ protocol, family })));
    await Promise.all(
      [...origins].flatMap((origin) =>
        ways.map(async ({ protocol, family }) => {
          const answer = await within(agents[origin].ask({ protocol, address: nearest(origin)[family], port: ALIVE }));
          assert.match(answer, new RegExp(` ${ALIVE}$`), `${origin} to the host by ${protocol}, IPv${family}`);
        }),
      ),
    );
    await Promise.all(
      ways.map(async ({ protocol, family }) => {
        const { container: port } = portsOf('any', 'single');
        const answer = await within(host.ask({ protocol, address: addressOf(web, family), port }));
        assert.equal(answer, `${GATEWAY[family]} ${port}`, 'the host to the server');
      }),
    );
  };
  const run = async (expect: Expect): Promise<readonly string[]> => {
    const wrong: string[] = [];
    const silent = new Set<Origin>();
    const answering: Promise<unknown>[] = [];
    const all = allCells().flatMap((cell) => {
      const outcome = expect(cell);
      if (outcome === null) return [];
      if (outcome === 'silence') silent.add(cell.origin);
      return (cell.shape === 'single' ? [false] : [false, true]).map((last) => {
        const expectation = inWords(cell, outcome, last);
        const checked = agents[cell.origin].ask(question(cell, last)).then((answer) => {
          if (answer !== expectation) wrong.push(`${nameOf(cell)}${last ? ', last port' : ''}: ${answer}, not ${expectation}`);
        });
        if (outcome !== 'silence') answering.push(checked);
        return checked;
      });
    });
    await within(Promise.all(answering).then(() => ''));
    // Twice: the second one starts when all that was sent before has been gone through.
    for (let i = 0; i < 2; i++) {
      await alive(silent);
      await sleep(grace);
    }
    await Promise.all(Object.values(agents).map((one) => one.giveUp()));
    await Promise.all(all);
    return wrong.toSorted();
  };

  const report = async (): Promise<ExposureReport> => {
    const answer = await daemon.request('GET', '/moor/exposure?sandboxes=web');
    assert.equal(answer.status, 200, answer.text);
    return answer.json() as ExposureReport;
  };

  const originsOf = ({ from, address }: Reach): Origin | null => {
    switch (from.kind) {
      case 'host':
        return address === LOOPBACK[4] || address === LOOPBACK[6] ? 'localhost' : 'own';
      case 'interface':
        if (from.sources.includes('anywhere')) return null;
        if (from.name === 'up0') return 'remote';
        return from.name === 'lan0' && (address === LOOPBACK[4] || address === LOOPBACK[6]) ? 'neighbour' : null;
      case 'network':
        return from.name === 'back' ? 'other' : null;
      case 'same':
        return 'same';
    }
  };

  const compare: MatrixLab['compare'] = async (expect) => {
    const { ports } = await report();
    const wrong: string[] = [];
    const compared = new Set<string>();
    for (const cell of allCells()) {
      if (cell.bound === 'none' || cell.target === 'sandbox') continue;
      const at = { any: cell.family === 4 ? '0.0.0.0' : '::', one: FIRST[cell.family], localhost: LOOPBACK[cell.family] }[
        cell.bound
      ];
      const { port, address } = question(cell);
      const published = ports.find(
        ({ binding: { protocol, hostAddress, hostPorts } }) =>
          protocol === cell.protocol && hostAddress === at && hostPorts.from <= port && port <= hostPorts.to,
      );
      assert.ok(published, `nothing is said of ${nameOf(cell)}`);
      for (const reach of published.reach) {
        if (originsOf(reach) !== cell.origin || reach.address !== address) continue;
        if (port < reach.ports.from || port > reach.ports.to) continue;
        const said = SAID[reach.reachability];
        const outcome = expect(cell);
        if (outcome === null) continue;
        const fact = outcome === 'refused' || outcome === 'silence' ? outcome : 'reach';
        compared.add(nameOf(cell));
        if (said !== fact) wrong.push(`${nameOf(cell)}: ${fact}; moor ports says ${JSON.stringify(reach)}`);
      }
    }
    return { wrong, compared };
  };

  const owned = stack.move();
  return {
    daemon,
    run,
    compare,
    report,
    question,
    agentOf: (origin) => agents[origin],
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

/** ms: for what is expected to be answered. */
const PATIENCE = 20_000;

async function within(answer: Promise<string>): Promise<string> {
  const patience = new AbortController();
  const late = sleep(PATIENCE, 'nobody answers', { signal: patience.signal });
  try {
    return await Promise.race([answer, late]);
  } finally {
    late.catch(() => undefined);
    patience.abort();
  }
}

/** What leads elsewhere leads to the host itself in these tests, where nobody listens. */
const SAID = { open: 'reach', dropped: 'silence', rejected: 'refused', elsewhere: 'refused', depends: 'unclear' } as const;
