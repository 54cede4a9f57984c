/** Before or while a port is published: what will keep other hosts from it, in sentences. */
import { familyOf } from '../base/ip.ts';
import type { ObstacleRequest, Reach } from '../contracts/exposure.ts';
import { rangeText } from '../model/ports-text.ts';
import type { PortBinding } from '../model/ports.ts';
import type { RulesetTable } from '../nft/ruleset.ts';
import { valueOfIp } from './host.ts';
import { type ExposureInput, Judge } from './judge.ts';
import { type Asker, askers } from './origins.ts';
import { Tracer } from './path.ts';
import { pieces } from './pieces.ts';
import { portCuts, portParts } from './port-parts.ts';

/** Parts of a range that are looked at: the sentences are about the same firewall as a rule. */
const MOST_PARTS = 4;

/** Our table, as far as it concerns a published port: it leads it, lets it pass and marks it. */
export function standIn(name: string, mark: number): RulesetTable {
  const key = { meta: { key: 'mark' } };
  const rule = { handle: 0, comment: '', expr: [{ mangle: { key, value: { '|': [key, mark] } } }, { accept: null }] };
  const hook = { type: 'filter', hook: 'forward', priority: FORWARD_PRIORITY, policy: 'accept', devices: [] } as const;
  const chains = new Map([['forward', { name: 'forward', handle: 1, hook, rules: [rule] }]]);
  return { family: 'inet', name, handle: 0, chains, sets: new Map() };
}

/** `filter - 10`: before the chains of others. */
const FORWARD_PRIORITY = -10;

/**
 * A rule of ours that translates need not be there yet: it is taken for granted.
 * @returns a sentence for each rule that keeps all hosts behind an interface away, with what to do about it
 */
export function obstacles(input: ExposureInput, { ports, bridge, routed, networks }: ObstacleRequest): readonly string[] {
  const tracer = new Tracer(input.ruleset, input.host);
  const judge = new Judge(input, networks);
  const cuts = portCuts(input.ruleset, input.own);
  const found = new Map<string, { readonly reach: Reach; readonly names: Set<string>; readonly what: Set<string> }>();
  for (const binding of ports) {
    if (isLoopback(binding)) continue;
    for (const asker of askers(input.host, { ports: [], networks }, { at: binding.hostAddress, bridge })) {
      if (asker.origin.kind !== 'interface') continue;
      for (const part of portParts(binding, cuts).slice(0, MOST_PARTS)) {
        const reach = blocked({ tracer, judge, input, bridge, routed }, asker, { ...binding, ...shifted(binding, part) });
        if (reach === null) continue;
        const key = JSON.stringify([reach.decision, reach.reachability]);
        const entry = found.get(key) ?? { reach, names: new Set(), what: new Set() };
        entry.names.add(asker.origin.name);
        entry.what.add(`${binding.protocol} port ${rangeText(part)}`);
        found.set(key, entry);
      }
    }
  }
  return [...found.values()].map(({ reach, names, what }) => sentence(reach, [...names], [...what]));
}

const isLoopback = ({ hostAddress }: PortBinding): boolean => hostAddress.startsWith('127.') || hostAddress === '::1';

const shifted = (
  { hostPorts, containerPorts }: PortBinding,
  part: PortBinding['hostPorts'],
): Pick<PortBinding, 'hostPorts' | 'containerPorts'> => {
  const shift = containerPorts.from - hostPorts.from;
  return { hostPorts: part, containerPorts: { from: part.from + shift, to: part.to + shift } };
};

interface Tools {
  readonly tracer: Tracer;
  readonly judge: Judge;
  readonly input: ExposureInput;
  readonly bridge: string;
  readonly routed: ObstacleRequest['routed'];
}

/** @returns null when at least some of them get through */
function blocked(
  { tracer, judge, input, bridge, routed }: Tools,
  { origin, device, peer, address }: Asker,
  binding: PortBinding,
): Reach | null {
  const family = familyOf(binding.hostAddress);
  // Any address of the network will do: rules that know one sandbox from another are somebody's who knows what they do.
  const [sandbox] = input.host.neighbours(family, bridge)[0] ?? [];
  if (sandbox === undefined) return null;
  const { protocol, hostPorts: ports } = binding;
  const own = { address: sandbox, port: binding.containerPorts.from };
  const assumed = {
    address: own.address,
    port: BigInt(own.port),
    by: { family: 'inet', table: input.own, chain: 'published', handle: null },
  };
  const asker = { family, protocol, device, peer };
  const probe = routed.includes(family)
    ? { ...asker, ...own }
    : { ...asker, address: valueOfIp(address), port: ports.from, assumed };
  let worst: Reach | null = null;
  for (const piece of pieces(peer, tracer.trace(probe))) {
    const reach: Reach = { from: origin, address, ports, ...judge.judgement(piece, { binding, ports }) };
    if (reach.reachability === 'open' || reach.reachability === 'depends') return null;
    worst ??= reach;
  }
  return worst;
}

function sentence(
  { reachability, decision, direction, remedy }: Reach,
  names: readonly string[],
  what: readonly string[],
): string {
  const who = `hosts behind ${names.join(' and ')} cannot reach ${what.join(', ')}`;
  if (decision === null) return `${who}: it leads to this host itself`;
  const { owner, table, chain, rule } = decision;
  if (table === '') return `${who}: ${rule}${remedy === '' ? '' : `; ${remedy}`}`;
  const does = reachability === 'elsewhere' ? 'leads it elsewhere' : reachability === 'rejected' ? 'rejects' : 'drops';
  const it = reachability === 'elsewhere' ? '' : direction === 'answer' ? ' the answers' : ' it';
  const why = `chain ${chain} of table ${table} (${owner}) ${does}${it}: ${rule}`;
  return `${who}: ${why}${remedy === '' ? '' : `; to allow it: ${remedy}`}`;
}
