/** A range of ports, cut where rules of the host cut it, so that one port of each part speaks for all of it. */
import { isArray, isObject, type Json } from '../nft/json.ts';
import type { Ruleset } from '../nft/ruleset.ts';
import type { PortBinding, PortRange } from '../model/ports.ts';

/** Parts of one binding that are looked at; what lies behind is taken for like the last one. */
const MOST_PARTS = 32;

/**
 * Numbers at which something else begins: the first port that a rule names, and the one behind the last.
 * @param own name of our table, whose maps hold every published port and whose rules do not tell ports apart
 */
export function portCuts(ruleset: Ruleset, own: string): ReadonlySet<number> {
  const cuts = new Set<number>();
  const range = (from: number, to: number): void => void cuts.add(from).add(to + 1);
  const visit = (value: Json): void => {
    if (typeof value === 'number') range(value, value);
    else if (isArray(value)) value.forEach(visit);
    else if (isObject(value)) {
      const pair = value['range'];
      const [from, to] = isArray(pair) ? pair : [];
      if (typeof from === 'number' && typeof to === 'number') range(from, to);
      else Object.values(value).forEach(visit);
    }
  };
  for (const table of ruleset.tables) {
    if (table.name === own) continue;
    for (const set of table.sets.values()) if (set.types.includes('inet_service')) set.elements.forEach(visit);
    for (const chain of table.chains.values()) {
      for (const { expr } of chain.rules) for (const statement of expr) if (looksAtPorts(statement)) visit(statement);
    }
  }
  return cuts;
}

const looksAtPorts = (statement: Json): boolean => {
  if (isArray(statement)) return statement.some(looksAtPorts);
  if (!isObject(statement)) return false;
  const name = statement['field'];
  // The source port of an answer is the port of the sandbox.
  return name === 'dport' || name === 'sport' || Object.values(statement).some(looksAtPorts);
};

/** Host ports in parts; rules look at them before translation, and at the sandbox's after it. */
export function portParts({ hostPorts, containerPorts }: PortBinding, cuts: ReadonlySet<number>): readonly PortRange[] {
  const shift = containerPorts.from - hostPorts.from;
  const starts = [...cuts]
    .flatMap((cut) => [cut, cut - shift])
    .filter((port) => port > hostPorts.from && port <= hostPorts.to)
    .toSorted((a, b) => a - b);
  const all = [hostPorts.from, ...new Set(starts)].slice(0, MOST_PARTS);
  return all.map((from, at) => ({ from, to: (all[at + 1] ?? hostPorts.to + 1) - 1 }));
}
