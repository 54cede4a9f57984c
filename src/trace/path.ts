/** A new connection to an address of this host, from its first packet to the answer and what follows: where it ends, and who says so. */
import type { Ruleset } from '../nft/ruleset.ts';
import type { Decider } from './decider.ts';
import { type BaseChain, type Hook, Hooks } from './hooks.ts';
import { type Host, valueOfIp } from './host.ts';
import { type Intervals, one } from './intervals.ts';
import type { Device, Endpoint, Packet } from './packet.ts';
import { answer, destinationOf, ledTo, type Probe, request, sequel, stateOf, translatedLikeFirst } from './steps.ts';
import type { Translation } from './translate.ts';
import { type End, merged, walkChain } from './walk.ts';

export type Verdict =
  | {
      readonly type: 'reaches';
      readonly address: bigint;
      readonly port: bigint;
      readonly device: string;
      readonly by: Decider | null;
      /** null: it was asked by its own address. */
      readonly translatedBy: Decider | null;
    }
  | { readonly type: 'dropped' | 'rejected'; readonly by: Decider; readonly step: Packet['step'] }
  /** Nobody sends it on: it is for a program on this host, if one listens. */
  | { readonly type: 'local'; readonly by: Decider | null }
  /** Connection tracking was turned off for it: no address is translated, so it does not get to where it should. */
  | { readonly type: 'untracked'; readonly by: Decider; readonly step: 'answer' | 'sequel' }
  /** The kernel itself does not send it on. */
  | { readonly type: 'refused'; readonly why: string }
  | { readonly type: 'unknown'; readonly what: string };

/** One part of those who were asked about. */
export interface Outcome {
  readonly peer: Intervals;
  readonly verdict: Verdict;
  /** What it hangs on that could not be decided; empty: nothing. */
  readonly maybe: readonly string[];
}

const LOCALHOST6 = valueOfIp('::1');
/** Before any rule: ip6_rcv_core(), net/ipv6/ip6_input.c. For 127.0.0.0/8 routing decides, after rules. */
const FROM_WIRE: Verdict = { type: 'refused', why: 'a packet for ::1 came by a wire (RFC 4291 section 2.5.3)' };

export class Tracer {
  readonly host: Host;
  readonly #hooks: Hooks;

  constructor(ruleset: Ruleset, host: Host) {
    this.host = host;
    this.#hooks = new Hooks(ruleset);
  }

  trace(probe: Probe): readonly Outcome[] {
    const { family, device, peer, address } = probe;
    if (device !== null && family === 6 && address === LOCALHOST6) return [{ peer, maybe: [], verdict: FROM_WIRE }];
    const outcomes: Outcome[] = [];
    const first = request(probe, this.#wayOut(probe));
    const routed = probe.device === null ? this.#output([first], outcomes) : this.#arrive([first], outcomes);
    // What was let pass has to be let back, and what follows too.
    const answers = merged(this.#sendOn(routed, outcomes).map(answer));
    const sequels = merged(this.#back(answers, probe, outcomes).map((part) => sequel(part, device)));
    for (const part of this.#again(sequels, probe, outcomes)) {
      if (part.oif === null) continue;
      const { address: to, port } = destinationOf(part);
      const translatedBy = part.target?.by ?? null;
      const verdict = { type: 'reaches', address: to, port, device: part.oif.name, by: part.passedBy, translatedBy } as const;
      outcomes.push({ peer: part.peer, maybe: part.maybe, verdict });
    }
    return outcomes;
  }

  /** Where the rules send such a connection, whether it gets there or not; null: nowhere. */
  target(probe: Probe): Endpoint | null {
    const first = request(probe, this.#wayOut(probe));
    const routed = probe.device === null ? this.#output([first], []) : this.#arrive([first], []);
    return routed.find(({ target }) => target !== null)?.target ?? null;
  }

  /** A program's packet leaves by the loopback when it is for this host, as far as the rules can see also when it is sent on. */
  #wayOut({ device, family, address }: Probe): Device | null {
    if (device !== null) return null;
    return this.host.isLocal(family, address) ? this.#lo() : this.host.routeTo(family, address);
  }

  #lo(): Device {
    return this.host.device('lo') ?? { name: 'lo', index: 1, kind: '', group: 0 };
  }

  /** @returns what has a way on, translated or not */
  #arrive(packets: readonly Packet[], outcomes: Outcome[]): readonly Packet[] {
    const device = packets[0]?.iif?.name ?? '';
    return this.#hook('prerouting', this.#hook({ hook: 'ingress', device }, packets, outcomes), outcomes);
  }

  #output(packets: readonly Packet[], outcomes: Outcome[]): readonly Packet[] {
    return this.#hook('output', packets, outcomes);
  }

  /** Routing after translation, and what lies behind it. @returns what gets out to where it was sent */
  #sendOn(packets: readonly Packet[], outcomes: Outcome[]): readonly Packet[] {
    const going: Packet[] = [];
    for (const packet of packets) {
      const { peer, maybe } = packet;
      const { address } = destinationOf(packet);
      if (this.host.isLocal(packet.family, address)) {
        this.#deliver(packet, outcomes);
        continue;
      }
      const oif = this.host.routeTo(packet.family, address);
      const why = oif === null ? 'no route leads to it' : this.#refusal(packet, oif);
      if (oif === null || why !== null) outcomes.push({ peer, maybe, verdict: { type: 'refused', why: why ?? '' } });
      else going.push({ ...packet, oif });
    }
    return this.#leave(going, outcomes);
  }

  /** To a program on this host. What that answers is not followed. */
  #deliver(packet: Packet, outcomes: Outcome[]): void {
    let parts: readonly Packet[] = [packet];
    if (packet.iif === null) {
      const lo = this.#lo();
      const out = this.#hook('postrouting', parts, outcomes);
      parts = this.#arrive(
        out.map((part) => ({ ...part, iif: lo, oif: null })),
        outcomes,
      );
    }
    for (const { peer, maybe, target } of this.#hook('input', parts, outcomes))
      outcomes.push({ peer, maybe, verdict: { type: 'local', by: target?.by ?? null } });
  }

  /** What a kernel does not forward however the rules are. */
  #refusal({ family, iif, peer }: Packet, oif: Device): string | null {
    if (iif !== null) {
      const key = family === 4 ? 'net/ipv4/ip_forward' : 'net/ipv6/conf/all/forwarding';
      return this.host.sysctl(key) === '0' ? `${key.replaceAll('/', '.')} is 0` : null;
    }
    const source = peer[0]?.[0] ?? 0n;
    const loopback = family === 4 && this.host.addressType(4, one(source), 'lo') === 'local';
    const local = ['all', oif.name].some((name) => this.host.sysctl(`net/ipv4/conf/${name}/route_localnet`) === '1');
    return loopback && !local ? `net.ipv4.conf.${oif.name}.route_localnet is 0` : null;
  }

  #leave(packets: readonly Packet[], outcomes: Outcome[]): readonly Packet[] {
    const forwarded = packets.filter(({ iif }) => iif !== null);
    const own = packets.filter(({ iif }) => iif === null);
    const out = this.#hook('postrouting', [...this.#hook('forward', forwarded, outcomes), ...own], outcomes);
    return out.flatMap((packet) => this.#hook({ hook: 'egress', device: packet.oif?.name ?? '' }, [packet], outcomes));
  }

  #back(packets: readonly Packet[], probe: Probe, outcomes: Outcome[]): readonly Packet[] {
    // As a rule all answers come from one device.
    const devices = new Set(packets.map(({ iif }) => iif?.name));
    const arrived = [...devices].flatMap((name) =>
      this.#arrive(
        packets.filter(({ iif }) => iif?.name === name),
        outcomes,
      ),
    );
    if (probe.device === null) return this.#hook('input', arrived, outcomes);
    return this.#leave(
      arrived.map((part) => ({ ...part, oif: probe.device })),
      outcomes,
    );
  }

  /** @param packets with the device to which they are sent on at last */
  #again(packets: readonly Packet[], probe: Probe, outcomes: Outcome[]): readonly Packet[] {
    const devices = new Map(packets.map(({ oif }) => [oif?.name, oif]));
    return [...devices].flatMap(([name, oif]) => {
      const start = packets
        .filter((packet) => packet.oif?.name === name)
        .map((packet) => ({ ...packet, oif: this.#wayOut(probe) }));
      const arrived = probe.device === null ? this.#output(start, outcomes) : this.#arrive(start, outcomes);
      return this.#leave(
        arrived.map((part) => ({ ...part, oif })),
        outcomes,
      );
    });
  }

  #hook(
    at: Hook | { readonly hook: Hook; readonly device: string },
    packets: readonly Packet[],
    outcomes: Outcome[],
  ): readonly Packet[] {
    const { hook, device } = typeof at === 'string' ? { hook: at, device: '' } : at;
    let current = packets;
    const family = packets[0]?.family;
    if (family === undefined) return [];
    for (const stage of this.#hooks.stages(family, hook, device)) {
      if (current.length === 0) break;
      switch (stage.type) {
        case 'chain':
          current = this.#chain(stage.base, current, outcomes).map(({ packet }) => packet);
          break;
        case 'conntrack':
          current = current.map((packet) => ({ ...packet, state: stateOf(packet) }));
          break;
        case 'nat':
          current = this.#nat({ hook, chains: stage.chains }, current, outcomes);
          break;
      }
      current = merged(current);
    }
    return current;
  }

  /** @returns what passes; with a translation when a rule asked for one */
  #chain(base: BaseChain, packets: readonly Packet[], outcomes: Outcome[]): readonly { packet: Packet; end: End | null }[] {
    const { ended, fell } = walkChain(base.chain, packets, { table: base.table, host: this.host });
    const policy: Decider = { family: base.table.family, table: base.table.name, chain: base.chain.name, handle: null };
    const ends: readonly End[] =
      base.policy === 'accept' ? ended : [...ended, ...fell.map((packet): End => ({ type: 'drop', packet, by: policy }))];
    const passed: { packet: Packet; end: End | null }[] =
      base.policy === 'accept' ? fell.map((packet) => ({ packet, end: null })) : [];
    for (const end of ends) {
      const { packet, by } = end;
      const { peer, maybe, step } = packet;
      if (end.type === 'drop' || end.type === 'reject')
        outcomes.push({ peer, maybe, verdict: { type: end.type === 'drop' ? 'dropped' : 'rejected', by, step } });
      else if (end.type === 'lost') outcomes.push({ peer, maybe, verdict: { type: 'unknown', what: maybe.at(-1) ?? '' } });
      // Only a rule about packets on their way lets them pass; what it says before routing is no permission.
      else passed.push({ packet: base.chain.hook?.hook === 'forward' ? { ...packet, by } : packet, end });
    }
    return passed;
  }

  /** The first packet asks the rules; all others are translated as it was. */
  #nat(
    { hook, chains }: { readonly hook: Hook; readonly chains: readonly BaseChain[] },
    packets: readonly Packet[],
    outcomes: Outcome[],
  ): readonly Packet[] {
    const before = hook === 'prerouting' || hook === 'output';
    const done: Packet[] = [];
    let open: readonly Packet[] = packets.filter(
      (packet) => packet.state === 'new' && packet.step === 'request' && !(before && packet.asked),
    );
    for (const packet of packets) {
      if (open.includes(packet)) continue;
      const { peer, maybe, notrack, step } = packet;
      if (notrack === null || step === 'request') done.push(translatedLikeFirst(hook, packet));
      else outcomes.push({ peer, maybe, verdict: { type: 'untracked', by: notrack, step } });
    }
    for (const base of chains) {
      const next: Packet[] = [];
      for (const { packet, end } of this.#chain(base, open, outcomes)) {
        if (end?.type === 'translate') done.push(this.#translated(packet, end.to, end.by));
        else next.push(packet);
      }
      open = merged(next);
    }
    const led = open.map((packet) => (before && packet.assumed !== null ? ledTo(packet, packet.assumed) : packet));
    return before ? [...done, ...led].map((packet) => ({ ...packet, asked: true })) : [...done, ...led];
  }

  #translated(packet: Packet, to: Translation, by: Decider): Packet {
    switch (to.kind) {
      case 'dnat':
      case 'redirect': {
        const address = to.address ?? (to.kind === 'redirect' ? this.#redirectAddress(packet) : packet.original.address);
        const port = to.port ?? packet.original.port;
        return ledTo(packet, { address, port, by });
      }
      case 'snat':
      case 'masquerade': {
        const shownAs = to.address ?? this.#firstAddress(packet);
        return { ...packet, shownAs, source: shownAs ?? packet.source, status: [...packet.status, 'snat'] };
      }
    }
  }

  /** nf_nat_redirect: 127.0.0.1 for a program's own packet, else the first address of the device it came to. */
  #redirectAddress(packet: Packet): bigint {
    const address = packet.iif === null ? undefined : this.host.addresses(packet.family, packet.iif.name)[0];
    return valueOfIp(address ?? (packet.family === 4 ? '127.0.0.1' : '::1'));
  }

  #firstAddress({ family, oif }: Packet): bigint | null {
    const address = oif === null ? undefined : this.host.addresses(family, oif.name)[0];
    return address === undefined ? null : valueOfIp(address);
  }
}
