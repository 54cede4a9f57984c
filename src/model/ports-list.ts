/** Lists of ports: neighbours become ranges, and parts of ranges are taken away. Pure. */
import { portCount } from './ports-parse.ts';
import type { PortBinding, PortRange, PortSpec } from './ports.ts';

/**
 * Joins what runs in parallel: the same protocol and address, and the next container port on the next host port (or on any free one).
 * Docker's clients send a range as single ports. What is there twice is there once.
 */
export function coalesce(specs: readonly PortSpec[]): PortSpec[] {
  const out: PortSpec[] = [];
  for (const spec of specs.toSorted(compare)) {
    const last = out.at(-1);
    if (last !== undefined && same(last, spec)) continue;
    const joined = last === undefined ? null : join(last, spec);
    if (joined === null) out.push(spec);
    else out[out.length - 1] = joined;
  }
  return out;
}

function compare(a: PortSpec, b: PortSpec): number {
  return (
    text(a.protocol, b.protocol) ||
    text(a.hostAddress ?? '', b.hostAddress ?? '') ||
    // Those on any free port last, as Docker chooses them when the fixed ones have theirs.
    Number(a.hostPorts === null) - Number(b.hostPorts === null) ||
    offset(a) - offset(b) ||
    a.containerPorts.from - b.containerPorts.from ||
    a.containerPorts.to - b.containerPorts.to ||
    (a.hostPorts?.to ?? 0) - (b.hostPorts?.to ?? 0)
  );
}

const text = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);
/** Host numbers minus container numbers. */
const offset = ({ hostPorts, containerPorts }: PortSpec): number =>
  hostPorts === null ? 0 : hostPorts.from - containerPorts.from;

const sameRange = (a: PortRange | null, b: PortRange | null): boolean => a?.from === b?.from && a?.to === b?.to;

const same = (a: PortSpec, b: PortSpec): boolean =>
  a.protocol === b.protocol &&
  a.hostAddress === b.hostAddress &&
  sameRange(a.hostPorts, b.hostPorts) &&
  sameRange(a.containerPorts, b.containerPorts);

/** One host port for each container port. */
const isParallel = ({ hostPorts, containerPorts }: PortSpec): boolean =>
  hostPorts === null || portCount(hostPorts) === portCount(containerPorts);

function join(a: PortSpec, b: PortSpec): PortSpec | null {
  if (a.protocol !== b.protocol || a.hostAddress !== b.hostAddress || !isParallel(a) || !isParallel(b)) return null;
  if (b.containerPorts.from !== a.containerPorts.to + 1) return null;
  const containerPorts = { from: a.containerPorts.from, to: b.containerPorts.to };
  if (a.hostPorts === null || b.hostPorts === null) {
    return a.hostPorts === b.hostPorts ? { ...a, containerPorts } : null;
  }
  if (b.hostPorts.from !== a.hostPorts.to + 1) return null;
  return { ...a, containerPorts, hostPorts: { from: a.hostPorts.from, to: b.hostPorts.to } };
}

/** What a request to unpublish can be about. */
type Published = PortSpec | PortBinding;

/**
 * Parts ports in those that a selection is about and the rest, also in the middle of a range. `80/tcp` stands for whatever host ports lead
 * there, a host address or host ports that are not named are not asked for.
 */
export function part<T extends Published>(
  from: T,
  selection: PortSpec,
): { readonly taken: readonly T[]; readonly left: readonly T[] } {
  const none = { taken: [], left: [from] };
  if (from.protocol !== selection.protocol) return none;
  if (selection.hostAddress !== null && selection.hostAddress !== from.hostAddress) return none;
  const { containerPorts, hostPorts } = from;
  const all = overlap(containerPorts, selection.containerPorts);
  if (all === null) return none;
  if (hostPorts === null) return selection.hostPorts === null ? cut(from, all) : none;
  if (portCount(hostPorts) !== portCount(containerPorts)) {
    // One container port on the first free one of several: there is no part of it.
    return selection.hostPorts === null || sameRange(hostPorts, selection.hostPorts) ? { taken: [from], left: [] } : none;
  }
  if (selection.hostPorts === null) return cut(from, all);
  const shift = containerPorts.from - hostPorts.from;
  const some = overlap(all, { from: selection.hostPorts.from + shift, to: selection.hostPorts.to + shift });
  return some === null ? none : cut(from, some);
}

function cut<T extends Published>(from: T, some: PortRange): { readonly taken: readonly T[]; readonly left: readonly T[] } {
  const { containerPorts, hostPorts } = from;
  const piece = (ports: PortRange): T[] => {
    if (ports.from > ports.to) return [];
    if (hostPorts === null) return [{ ...from, containerPorts: ports }];
    const shift = hostPorts.from - containerPorts.from;
    return [{ ...from, containerPorts: ports, hostPorts: { from: ports.from + shift, to: ports.to + shift } }];
  };
  const left = [
    ...piece({ from: containerPorts.from, to: some.from - 1 }),
    ...piece({ from: some.to + 1, to: containerPorts.to }),
  ];
  return { taken: piece(some), left };
}

/** The same for lists: what any of the selections is about is taken. */
export function partAll<T extends Published>(
  list: readonly T[],
  selections: readonly PortSpec[],
): { readonly taken: T[]; readonly left: T[] } {
  const taken: T[] = [];
  let left = [...list];
  for (const selection of selections) {
    const parts = left.map((one) => part(one, selection));
    taken.push(...parts.flatMap((one) => one.taken));
    left = parts.flatMap((one) => one.left);
  }
  return { taken, left };
}

function overlap(a: PortRange, b: PortRange): PortRange | null {
  const [from, to] = [Math.max(a.from, b.from), Math.min(a.to, b.to)];
  return from <= to ? { from, to } : null;
}
