/** The matrix on a real daemon: networks and sandboxes made by its API, and what it says itself of who reaches their ports. */
import assert from 'node:assert/strict';
import type { ExposureReport, Reach } from '../../src/contracts/exposure.ts';
import type { Sandbox } from '../../src/model/sandbox.ts';
import type { TestDaemon } from '../support/daemon.ts';
import { FIRST, LOOPBACK, placeOn, script, startHost, wanted } from './matrix-host.ts';
import { createQuestions, type Expect, type Inhabitant, type Questions } from './matrix-questions.ts';
import { allCells, BOUNDS, type Cell, nameOf, type Origin, SHAPES } from './matrix-table.ts';

export interface MatrixLab extends Questions {
  readonly daemon: TestDaemon;
  /** What `moor ports` says and packets do not do, in words; `compared` are the names of the cells that it says something of. */
  readonly compare: (expect: Expect) => Promise<{ readonly wrong: readonly string[]; readonly compared: ReadonlySet<string> }>;
  readonly report: () => Promise<ExposureReport>;
}

export interface MatrixOptions {
  readonly bridgeNf: boolean;
  /** Flags of the daemon. */
  readonly args?: readonly string[];
  /** Runs when the host is there and the daemon is not yet. */
  readonly prepare?: (daemon: TestDaemon) => Promise<void>;
}

export async function createMatrixLab(options: MatrixOptions): Promise<MatrixLab> {
  await using stack = new AsyncDisposableStack();
  const daemon = stack.use(await startHost());
  await options.prepare?.(daemon);
  const value = options.bridgeNf ? 1 : 0;
  await script(daemon, `sysctl -qw net.bridge.bridge-nf-call-iptables=${value} net.bridge.bridge-nf-call-ip6tables=${value}`);
  await daemon.start(...(options.args ?? []));

  const post = async (path: string, body: object): Promise<unknown> => {
    const answer = await daemon.request('POST', path, body);
    assert.equal(answer.status, 201, answer.text);
    return (answer.json() as { readonly value: unknown }).value;
  };
  const network = (name: string, n: number): Promise<unknown> =>
    post('/moor/networks', { name, ipv6: true, pools: [{ subnet: `10.${n}.0.0/24` }, { subnet: `fd00:${n}::/64` }] });
  await Promise.all([network('front', 1), network('back', 2)]);
  const sandbox = async (name: string, on: string, ports: readonly string[] = []): Promise<Inhabitant> => {
    const made = (await post('/moor/sandboxes', { name, networks: [{ network: on }], ports })) as Sandbox;
    const [endpoint] = made.endpoints;
    const address = (text: string | null | undefined): string => text?.split('/')[0] ?? '';
    return {
      place: placeOn(daemon, made.netns.type === 'host' ? '' : made.netns.path),
      address: { 4: address(endpoint?.ipv4), 6: address(endpoint?.ipv6) },
    };
  };
  const itself = await sandbox('web', 'front', wanted(BOUNDS, SHAPES, [4, 6]));
  const [same, other] = await Promise.all([sandbox('peer', 'front'), sandbox('stranger', 'back')]);
  const questions = stack.use(await createQuestions(daemon, { itself, same, other }));

  const report = async (): Promise<ExposureReport> => {
    const answer = await daemon.request('GET', '/moor/exposure?sandboxes=web');
    assert.equal(answer.status, 200, answer.text);
    return answer.json() as ExposureReport;
  };
  /** What is said of a cell. */
  const saidOf = (cell: Cell, { ports }: ExposureReport): readonly Reach[] => {
    const { family, bound } = cell;
    if (bound === 'none' || cell.target === 'sandbox') return [];
    const at = { any: family === 4 ? '0.0.0.0' : '::', one: FIRST[family], localhost: LOOPBACK[family] }[bound];
    const { port, address } = questions.question(cell);
    const published = ports.find(
      ({ binding: { protocol, hostAddress, hostPorts } }) =>
        protocol === cell.protocol && hostAddress === at && hostPorts.from <= port && port <= hostPorts.to,
    );
    assert.ok(published, `nothing is said of ${nameOf(cell)}`);
    return published.reach.filter(
      (reach) =>
        originOf(reach) === cell.origin && reach.address === address && reach.ports.from <= port && port <= reach.ports.to,
    );
  };
  const compare: MatrixLab['compare'] = async (expect) => {
    const all = await report();
    const wrong: string[] = [];
    const compared = new Set<string>();
    for (const cell of allCells()) {
      const outcome = expect(cell);
      if (outcome === null) continue;
      const fact = outcome === 'refused' || outcome === 'silence' ? outcome : 'reach';
      for (const reach of saidOf(cell, all)) {
        compared.add(nameOf(cell));
        if (SAID[reach.reachability] === fact) continue;
        wrong.push(`${nameOf(cell)}: ${fact}; moor ports says ${JSON.stringify(reach)}`);
      }
    }
    return { wrong, compared };
  };

  const owned = stack.move();
  return { ...questions, daemon, compare, report, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

/** What leads elsewhere leads to the host itself in these tests, where nobody listens. */
const SAID = { open: 'reach', dropped: 'silence', rejected: 'refused', elsewhere: 'refused', depends: 'unclear' } as const;

function originOf({ from, address }: Reach): Origin | null {
  const loopback = address === LOOPBACK[4] || address === LOOPBACK[6];
  switch (from.kind) {
    case 'host':
      return loopback ? 'localhost' : 'own';
    case 'interface':
      // Nobody of the tests is so far away.
      if (from.sources.includes('anywhere')) return null;
      if (from.name === 'up0') return 'remote';
      return from.name === 'lan0' && loopback ? 'neighbour' : null;
    case 'network':
      return from.name === 'back' ? 'other' : null;
    case 'same':
      return 'same';
  }
}
