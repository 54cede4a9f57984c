/** The contestants of a run, each started when the first part needs it. */
import { type Attacher, network } from './contestant.ts';
import { type Docker, startDocker } from './dockerd.ts';
import { type Moorline, startMoorline } from './moorline.ts';
import type { Sizes } from './options.ts';
import { cniBridge, netavark } from './plugins.ts';
import type { Contestant, Row } from './result.ts';
import { inBatches, numbers } from './rounds.ts';

/** The network that the 1,000 endpoints are on. */
export const BIG = network('big', 61);

/** Connects at a time while nobody looks at the clock. */
const WIDTH = 4;

export interface World {
  readonly sizes: Sizes;
  /** For temporary things of a part; on the same file system as the daemons' data. */
  readonly directory: string;
  readonly docker: () => Promise<Docker>;
  /** One more, for the caller to end: for what would spoil the other, or with flags. */
  readonly ownDocker: (name: string, ...flags: readonly string[]) => Promise<Docker>;
  /** A daemon that is never asked to hold much. */
  readonly moorline: () => Promise<Moorline>;
  /** Another one, for the many endpoints. */
  readonly crowded: () => Promise<Moorline>;
  /** Everyone, for attaching. */
  readonly attachers: () => Promise<Readonly<Record<Contestant, Attacher>>>;
  /** Attaches stacks 1 to n to BIG, those that are not yet. */
  readonly fill: (who: Contestant, n: number) => Promise<void>;
  readonly say: (text: string) => void;
}

export type Part = (world: World) => Promise<readonly Row[]>;

interface WorldOptions {
  readonly sizes: Sizes;
  readonly directory: string;
  readonly cgroup: string;
  readonly say: (text: string) => void;
}

/** @param owner disposes what has been started */
export function createWorld({ sizes, directory, cgroup, say }: WorldOptions, owner: AsyncDisposableStack): World {
  const docker = once(async () => {
    const started = await startDocker(`${directory}/docker`, cgroup);
    owner.use(started.client);
    return started;
  });
  const moorline = once(async () => owner.use(await startMoorline('default-network')));
  const crowded = once(async () => owner.use(await startMoorline('nothing')));
  const plugins = { cni: cniBridge(`${directory}/cni`), netavark: netavark(`${directory}/netavark`) };
  const filled = new Map<Contestant, number>();
  const fill = async (who: Contestant, n: number): Promise<void> => {
    const attacher = await { moorline: crowded, docker, cni: async () => plugins.cni, netavark: async () => plugins.netavark }[
      who
    ]();
    const before = filled.get(who);
    if (before === undefined) await attacher.network(BIG);
    await attacher.stacks(n);
    // The plugins make the network at the first attachment, and not twice at the same time.
    const missing = numbers((before ?? 0) + 1, n);
    const [first] = missing;
    if (first !== undefined) await attacher.connect(BIG, first);
    await inBatches(missing.slice(1), who === 'moorline' || who === 'docker' ? WIDTH : 1, (k) => attacher.connect(BIG, k));
    filled.set(who, Math.max(before ?? 0, n));
  };
  return {
    sizes,
    directory,
    docker,
    ownDocker: (name, ...flags) => startDocker(`${directory}/docker-${name}`, cgroup, flags),
    moorline,
    crowded,
    attachers: async () => ({ moorline: await moorline(), docker: await docker(), ...plugins }),
    fill,
    say,
  };
}

function once<T>(make: () => Promise<T>): () => Promise<T> {
  let made: Promise<T> | undefined;
  return () => (made ??= make());
}
