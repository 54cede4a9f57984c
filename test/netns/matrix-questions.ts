/** A process in every place from which somebody asks: `run` asks for every cell of the matrix at once, with real packets. */
import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import type { TestDaemon } from '../support/daemon.ts';
import { type MatrixAgent, matrixAgent } from './matrix-agent.ts';
import type { Question } from './matrix-agent.child.ts';
import { ALIVE, FIRST, GATEWAY, LOOPBACK, NEAR, placeOn, portsOf, REMOTE, SECOND } from './matrix-host.ts';
import { allCells, BOUNDS, type Cell, nameOf, type Origin, type Outcome, SHAPES, type Target } from './matrix-table.ts';
import type { Place } from './packets.ts';

/** null: it is not asked. */
export type Expect = (cell: Cell) => Outcome | null;

/** A sandbox, or a container: its namespace and its addresses. */
export interface Inhabitant {
  readonly place: Place;
  readonly address: Readonly<Partial<Record<4 | 6, string>>>;
}

/** `itself` publishes; `same` is on its network, 10.1.0.0/24, and `other` on 10.2.0.0/24. */
export type Inhabitants = Readonly<Record<'itself' | 'same' | 'other', Inhabitant>>;

export interface Questions extends AsyncDisposable {
  /** Asks for all cells. @returns those that are not as expected, in words */
  readonly run: (expect: Expect) => Promise<readonly string[]>;
  readonly agentOf: (origin: Origin) => MatrixAgent;
  /** @param last of a range, the last port, not the first */
  readonly question: (cell: Cell, last?: boolean) => Question;
}

/** Milliseconds that nobody has answered after everybody concerned has shown to be alive. A packet takes microseconds. */
const GRACE = 100;
/** ms: for what is expected to be answered. */
const PATIENCE = 20_000;

export async function createQuestions(daemon: TestDaemon, inhabitants: Inhabitants): Promise<Questions> {
  await using stack = new AsyncDisposableStack();
  const host = stack.use(matrixAgent(`/proc/${daemon.holder}/ns/net`));
  const agents: Readonly<Record<Origin, MatrixAgent>> = {
    remote: stack.use(matrixAgent(placeOn(daemon, '/run/netns/remote'))),
    neighbour: stack.use(matrixAgent(placeOn(daemon, '/run/netns/near'))),
    localhost: host,
    own: host,
    other: stack.use(matrixAgent(inhabitants.other.place)),
    same: stack.use(matrixAgent(inhabitants.same.place)),
    itself: stack.use(matrixAgent(inhabitants.itself.place)),
  };
  await host.listen(ALIVE);
  await agents.itself.listen(...served());

  const addressOf = (who: keyof Inhabitants, family: 4 | 6): string => inhabitants[who].address[family] ?? '';
  const asked = ({ family, target }: Pick<Cell, 'family' | 'target'>): string => {
    const places: Readonly<Record<Target, string>> = {
      loopback: LOOPBACK[family],
      first: FIRST[family],
      second: SECOND[family],
      sandbox: addressOf('itself', family),
    };
    return places[target];
  };
  const sourceOf = (cell: Cell): string => {
    const { origin, family } = cell;
    switch (origin) {
      case 'remote':
        return REMOTE[family];
      case 'neighbour':
        return NEAR[family];
      case 'localhost':
      case 'own':
        return asked(cell);
      case 'other':
      case 'same':
      case 'itself':
        return addressOf(origin, family);
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

  /** Asks by the ways that the unanswered questions took, part by part: from there to the host, from the host to the server. */
  const alive = async (silent: readonly Cell[]): Promise<void> => {
    const ways = new Map(silent.map((cell) => [`${cell.protocol}${cell.family} ${cell.origin}`, cell]));
    await Promise.all(
      [...ways].map(async ([name, { origin, protocol, family }]) => {
        const answer = await within(agents[origin].ask({ protocol, address: nearest(origin)[family], port: ALIVE }));
        assert.match(answer, new RegExp(` ${ALIVE}$`), `${name} to the host`);
      }),
    );
    await Promise.all(
      [...ways].map(async ([name, { protocol, family }]) => {
        const { container: port } = portsOf('any', 'single');
        const answer = await within(host.ask({ protocol, address: addressOf('itself', family), port }));
        assert.equal(answer, `${GATEWAY[family]} ${port}`, `${name}: the host to the server`);
      }),
    );
  };

  const run = async (expect: Expect): Promise<readonly string[]> => {
    const wrong: string[] = [];
    const silent: Cell[] = [];
    const answering: Promise<unknown>[] = [];
    const all = allCells().flatMap((cell) => {
      const outcome = expect(cell);
      if (outcome === null) return [];
      if (outcome === 'silence') silent.push(cell);
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
      await sleep(GRACE);
    }
    await Promise.all(Object.values(agents).map((one) => one.giveUp()));
    await Promise.all(all);
    return wrong.toSorted();
  };

  const owned = stack.move();
  return { run, question, agentOf: (origin) => agents[origin], [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

/** Ports that the server listens on: of a range the first and the last one. */
const served = (): readonly number[] =>
  BOUNDS.flatMap((bound) =>
    SHAPES.flatMap((shape) => {
      const { container, length } = portsOf(bound, shape);
      return length === 1 ? [container] : [container, container + length - 1];
    }),
  );

/** The host's address on the wire that they are on: a UDP server on any address answers by that one. */
function nearest(origin: Origin): Readonly<Record<4 | 6, string>> {
  if (origin === 'neighbour') return SECOND;
  if (origin === 'other') return { 4: '10.2.0.1', 6: 'fd00:2::1' };
  return origin === 'same' || origin === 'itself' ? GATEWAY : FIRST;
}

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
