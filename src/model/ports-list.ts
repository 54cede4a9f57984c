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

/** What a request to unpublish says of one that publishes: `80/tcp` stands for whatever host ports lead there. */
type Published = PortSpec | PortBinding;

/**
 * Takes ports away, also out of the middle of a range. A host address or host ports that `selection` does not name are not asked for.
 * @returns what is left of `from`; the same value when nothing was selected
 */
export function without<T extends Published>(from: T, selection: PortSpec): readonly T[] {
  if (from.protocol !== selection.protocol) return [from];
  if (selection.hostAddress !== null && selection.hostAddress !== from.hostAddress) return [from];
  const { containerPorts, hostPorts } = from;
  const whole = hostPorts === null || portCount(hostPorts) !== portCount(containerPorts);
  let cut: PortRange | null = overlap(containerPorts, selection.containerPorts);
  if (cut !== null && selection.hostPorts !== null) {
    if (whole) return sameRange(hostPorts, selection.hostPorts) ? [] : [from];
    const shift = containerPorts.from - hostPorts.from;
    cut = overlap(cut, { from: selection.hostPorts.from + shift, to: selection.hostPorts.to + shift });
  }
  if (cut === null) return [from];
  // One container port on the first free one of several: there is no part of it.
  if (whole && hostPorts !== null) return [];
  const part = (ports: PortRange): T[] => {
    if (ports.from > ports.to) return [];
    if (hostPorts === null) return [{ ...from, containerPorts: ports }];
    const shift = hostPorts.from - containerPorts.from;
    return [{ ...from, containerPorts: ports, hostPorts: { from: ports.from + shift, to: ports.to + shift } }];
  };
  return [...part({ from: containerPorts.from, to: cut.from - 1 }), ...part({ from: cut.to + 1, to: containerPorts.to })];
}

function overlap(a: PortRange, b: PortRange): PortRange | null {
  const [from, to] = [Math.max(a.from, b.from), Math.min(a.to, b.to)];
  return from <= to ? { from, to } : null;
}

/** @returns what is left when all of `selections` are taken away */
export const withoutAll = <T extends Published>(list: readonly T[], selections: readonly PortSpec[]): T[] =>
  selections.reduce<T[]>((left, selection) => left.flatMap((one) => without(one, selection)), [...list]);
