/** Which names a client sees, and how a question is looked up among them: Docker's order. */
import type { Id } from '../base/ids.ts';
import type { NameRecord, ResolverClient } from '../contracts/resolver.ts';
import { dnsType, HEADER, type Question, sameName, type WireName, wireName } from '../wire/dns.ts';
import { reverseAddress } from './reverse.ts';
import type { Labels, Name, Zone, Zones } from './zones.ts';

interface VisibleNetwork {
  readonly zone: Zone;
  readonly name: string;
  /** null: a name that no question can have. */
  readonly suffix: WireName | null;
}

interface Link {
  readonly alias: WireName;
  /** null: leads nowhere. */
  readonly target: WireName | null;
}

/** Of the question that is being looked up; one at a time. */
const labels: Labels = { bytes: new Uint8Array(0), at: 0, length: 0 };
const target: Labels = { bytes: new Uint8Array(0), at: 0, length: 0 };

export class View {
  readonly #networks: readonly VisibleNetwork[];
  readonly #links: readonly Link[];
  readonly #zones: Zones;

  /** Takes the zones of the client's networks; `release` gives them back. */
  constructor(client: ResolverClient, zones: Zones) {
    this.#zones = zones;
    this.#networks = client.networks.map(({ id, name }) => ({ zone: zones.take(id), name, suffix: wireName(name) }));
    this.#links = Object.entries(client.links).flatMap(([alias, name]) => {
      const wire = wireName(alias);
      return wire === null ? [] : [{ alias: wire, target: wireName(name) }];
    });
  }

  release(): void {
    for (const { zone } of this.#networks) this.#zones.release(zone);
  }

  sees(network: Id): boolean {
    return this.#networks.some(({ zone }) => zone.id === network);
  }

  /**
   * The whole name on any network, then what precedes each dot on the network that is called what follows it. A network's answer that
   * has no address of the asked type counts only if no other has one.
   */
  find(question: Question, bytes: Uint8Array, start: number): Name | undefined {
    labels.bytes = bytes;
    labels.at = start + HEADER;
    let empty: Name | undefined;
    for (let count = question.labels; count > 0; count--) {
      labels.length = question.starts[count] ?? 0;
      const hash = question.hashes[count] ?? 0;
      for (let i = 0; i < this.#networks.length; i++) {
        const network = this.#networks[i];
        if (network === undefined) continue;
        if (count < question.labels && !endsIn(question, count, network.suffix)) continue;
        const name = this.#lookup(network.zone, hash);
        if (name === undefined) continue;
        if (hasType(name, question.type)) return name;
        empty ??= name;
      }
      if (empty !== undefined) return empty;
    }
    return undefined;
  }

  /** By the name in `labels`; a link's alias stands for what it leads to. */
  #lookup(zone: Zone, hash: number): Name | undefined {
    for (let i = 0; i < this.#links.length; i++) {
      const link = this.#links[i];
      if (link === undefined || link.alias.hash !== hash || link.alias.lower.length !== labels.length) continue;
      if (!sameName(labels.bytes, labels.at, link.alias.lower)) continue;
      if (link.target === null) return undefined;
      target.bytes = link.target.lower;
      target.length = link.target.lower.length;
      return zone.find(link.target.hash, target);
    }
    return zone.find(hash, labels);
  }

  /** The name of the address that the question's name stands for, with the network's, as labels with the root's. */
  reverse(question: Question, bytes: Uint8Array, start: number): Uint8Array | null {
    const address = reverseAddress(question, bytes, start);
    if (address === null) return null;
    for (const { zone, name } of this.#networks) {
      const record: NameRecord | undefined = zone.addresses.get(address);
      const wire = record?.names[0] === undefined ? null : wireName(`${record.names[0]}.${name}`);
      if (wire !== null) return Buffer.concat([wire.wire, Buffer.of(0)]);
    }
    return null;
  }
}

function hasType({ v4, v6 }: Name, type: number): boolean {
  switch (type) {
    case dnsType.A:
      return v4.members.length > 0;
    case dnsType.AAAA:
      return v6.members.length > 0;
    default:
      return true;
  }
}

/** Whether the labels from `count` on are these. */
function endsIn(question: Question, count: number, suffix: WireName | null): boolean {
  const from = question.starts[count] ?? 0;
  const length = (question.starts[question.labels] ?? 0) - from;
  return suffix?.lower.length === length && sameName(labels.bytes, labels.at + from, suffix.lower);
}
