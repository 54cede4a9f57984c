/** The exposure report: for every published port who can reach it, and which rule of whom decides. */
import { type Family, familyOf, formatIp, type IpAddress } from '../base/ip.ts';
import type { Decision, ExposureReport, ExposureRequest, Origin, PortExposure, Reach } from '../contracts/exposure.ts';
import type { PortBinding, PortRange } from '../model/ports.ts';
import type { Ruleset } from '../nft/ruleset.ts';
import { isLinkLocal, valueOfIp } from './host.ts';
import { addressTexts, intersect, type Interval, type Intervals, isEmpty, one, sizeOf, union } from './intervals.ts';
import { type ExposureInput, Judge } from './judge.ts';
import { type Asker, askers, isAny, mainAddress } from './origins.ts';
import { Tracer } from './path.ts';
import { pieces } from './pieces.ts';
import { portCuts, portParts } from './port-parts.ts';

/** Sources that are written out; more are counted. */
const MOST_SOURCES = 8;

export function exposureReport(input: ExposureInput, request: ExposureRequest): ExposureReport {
  const reporter = new Reporter(input, request);
  return { ports: request.ports.map((port) => reporter.port(port)), unseen: [...input.unseen, ...bridgeTables(input.ruleset)] };
}

/** Rules for frames: a bridge asks them for what goes from port to port, and for what the host sends into it. */
const bridgeTables = ({ tables }: Ruleset): readonly string[] =>
  tables
    .filter(
      ({ family, chains }) =>
        family === 'bridge' && [...chains.values()].some(({ rules, hook }) => rules.length > 0 || hook?.policy === 'drop'),
    )
    .map(({ name }) => `rules of nftables table bridge ${name} are not looked at: they may drop frames on bridges`);

const SHORTCUT: Decision = {
  owner: 'Moorline',
  table: '',
  chain: '',
  handle: null,
  rule: 'straight to it, without rules that translate',
};

interface StraightTo {
  readonly binding: PortBinding;
  readonly ports: PortRange;
  readonly target: Target;
}

const isLoopback = ({ origin, address }: Asker): boolean =>
  origin.kind === 'host' && (address.startsWith('127.') || address === '::1');

type Target = NonNullable<PortExposure['target']> & { readonly bridge: string };

class Reporter {
  readonly #input: ExposureInput;
  readonly #request: ExposureRequest;
  readonly #tracer: Tracer;
  readonly #judge: Judge;
  readonly #cuts: ReadonlySet<number>;

  constructor(input: ExposureInput, request: ExposureRequest) {
    this.#input = input;
    this.#request = request;
    this.#tracer = new Tracer(input.ruleset, input.host);
    this.#judge = new Judge(input, request.networks);
    this.#cuts = portCuts(input.ruleset, input.own);
  }

  port({ sandbox, binding, direct }: ExposureRequest['ports'][number]): PortExposure {
    const found = direct === undefined ? this.#target(binding) : this.#own(direct, binding);
    const at = direct ?? binding.hostAddress;
    const all = askers(this.#input.host, this.#request, { at, bridge: found?.bridge ?? '' })
      // Within its network it is asked without this host.
      .filter(({ origin }) => direct === undefined || origin.kind !== 'same');
    const asked = direct === undefined ? binding : { ...binding, hostAddress: direct, hostPorts: binding.containerPorts };
    const parts = portParts(asked, this.#cuts);
    const straight = direct === undefined && binding.protocol === 'tcp' && this.#request.shortcut === true ? found : null;
    const reach = all.flatMap((asker) =>
      joined(
        parts.flatMap((ports) =>
          straight !== null && isLoopback(asker)
            ? this.#straight(asker, { binding, ports, target: straight })
            : this.#reach(asker, { binding: asked, ports }),
        ),
      ),
    );
    const target = found === null ? null : { address: found.address, port: found.port, network: found.network };
    return { sandbox, binding, target, reach };
  }

  #own(address: IpAddress, { containerPorts }: PortBinding): Target {
    const bridge = this.#input.host.routeTo(familyOf(address), valueOfIp(address))?.name ?? '';
    return { address, port: containerPorts.from, bridge, network: this.#networkOf(bridge) };
  }

  #networkOf = (bridge: string): string => this.#request.networks.find((each) => each.bridge === bridge)?.name ?? '';

  /** Where the rules send what asks for the first port of a binding. */
  #target({ protocol, hostAddress, hostPorts }: PortBinding): Target | null {
    const { host } = this.#input;
    const family = familyOf(hostAddress);
    const address = isAny(hostAddress) ? mainAddress(host, family) : hostAddress;
    if (address === null) return null;
    const uplink = host.uplink(family);
    const value = valueOfIp(address);
    const asked = { family, protocol, address: value, port: hostPorts.from };
    const found =
      this.#tracer.target({ ...asked, device: null, peer: one(value) }) ??
      this.#tracer.target({ ...asked, device: uplink === null ? null : host.device(uplink), peer: host.elsewhere(family) });
    if (found === null) return null;
    const bridge = host.routeTo(family, found.address)?.name ?? '';
    return { address: formatIp(family, found.address), port: Number(found.port), network: this.#networkOf(bridge), bridge };
  }

  /** At connect(2) the address is replaced by the sandbox's: rules see a program of the host that asks for that. */
  #straight(asker: Asker, { binding, ports, target }: StraightTo): readonly Reach[] {
    const { address, bridge } = target;
    const family = familyOf(address);
    const own = this.#input.host.addresses(family, bridge).find((each) => !isLinkLocal(each)) ?? address;
    const port = target.port + ports.from - binding.hostPorts.from;
    const peer = one(valueOfIp(own));
    const probe = { family, protocol: binding.protocol, device: null, peer, address: valueOfIp(address), port };
    const from = { ...asker.origin, name: 'localhost' };
    return pieces(peer, this.#tracer.trace(probe)).map((piece) => {
      const judgement = this.#judge.judgement(piece, { binding, ports });
      const decision = judgement.reachability === 'open' ? SHORTCUT : judgement.decision;
      return { from, address: asker.address, ports, ...judgement, decision };
    });
  }

  #reach(asker: Asker, { binding, ports }: { readonly binding: PortBinding; readonly ports: PortRange }): readonly Reach[] {
    const family = familyOf(binding.hostAddress);
    const { origin, device, peer, address } = asker;
    const { protocol } = binding;
    const outcomes = this.#tracer.trace({ family, protocol, device, peer, address: valueOfIp(address), port: ports.from });
    const found = pieces(peer, outcomes);
    const most = found.reduce((a, b) => (sizeOf(b.peer) > sizeOf(a.peer) ? b : a));
    return found.map((piece) => {
      const sources =
        piece === most ? othersOf(origin) : sourcesOf(family, isNear(origin) ? filled(piece.peer, peer) : piece.peer);
      const from = found.length === 1 ? origin : { ...origin, sources };
      return { from, address, ports, ...this.#judge.judgement(piece, { binding, ports }) };
    });
  }
}

const isNear = ({ sources }: Origin): boolean => !sources.includes('anywhere');

/** This host's own addresses are among nobody's: written as if they were, ranges are whole. */
function filled(part: Intervals, whole: Intervals): Intervals {
  const holes = whole.slice(1).map(([from], at): Interval => [(whole[at]?.[1] ?? 0n) + 1n, from - 1n]);
  const within = (value: bigint): boolean => !isEmpty(intersect(part, one(value)));
  return union(
    part,
    holes.filter(([from, to]) => within(from - 1n) && within(to + 1n)),
  );
}

/** All but those that are named beside it. */
const othersOf = ({ sources }: Origin): readonly string[] =>
  sources.length === 1 && sources[0] === 'anywhere' ? ['anywhere else'] : [`others of ${sources.join(' ')}`];

function sourcesOf(family: Family, part: Intervals): readonly string[] {
  const texts = addressTexts(family, part, MOST_SOURCES);
  return part.length <= MOST_SOURCES ? texts : [...texts, `and ${part.length - MOST_SOURCES} more`];
}

/** Parts of a range of which the same is said are one again. */
function joined(list: readonly Reach[]): readonly Reach[] {
  const out: Reach[] = [];
  for (const reach of list) {
    const before = out.findLastIndex((each) => each.ports.to + 1 === reach.ports.from && same(each, reach));
    const first = out[before];
    if (first === undefined) out.push(reach);
    else out[before] = { ...first, ports: { from: first.ports.from, to: reach.ports.to } };
  }
  return out;
}

const same = (a: Reach, b: Reach): boolean =>
  JSON.stringify({ ...a, ports: 0, remedy: '' }) === JSON.stringify({ ...b, ports: 0, remedy: '' });
