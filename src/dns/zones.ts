/** Names and addresses of endpoints by network. Finding allocates nothing; adding and removing take the same time at any size. */
import type { Id } from '../base/ids.ts';
import { ipBytes } from '../base/ip.ts';
import type { NameRecord } from '../contracts/resolver.ts';
import { LOWER, wireName } from '../wire/dns.ts';

/** One address in one list. Knows its place, so that it can be taken out at once. */
export interface Member<T> {
  readonly address: T;
  at: number;
}

/** Addresses of one name and family, and whose turn it is to be the first. */
export class AddressList<T> {
  readonly members: Member<T>[] = [];
  /** A number that grows with each answer. Families have one each: clients ask for A and AAAA in turns. */
  turn = 0;

  add(address: T): Member<T> {
    const member = { address, at: this.members.length };
    this.members.push(member);
    return member;
  }

  remove(member: Member<T>): void {
    const last = this.members.pop();
    if (last === undefined || last === member) return;
    last.at = member.at;
    this.members[member.at] = last;
  }
}

/** One name of a network; several endpoints may have it. */
export class Name {
  /** Labels in lower case, a character a byte: in this number, text takes a third of the memory of byte arrays. */
  readonly lower: string;
  readonly hash: number;
  /** Another name with the same hash. */
  next: Name | undefined = undefined;
  readonly v4 = new AddressList<number>();
  readonly v6 = new AddressList<Uint8Array>();
  /** Endpoints that have it, with or without addresses. */
  holders = 0;

  constructor(lower: string, hash: number) {
    this.lower = lower;
    this.hash = hash;
  }

  is({ bytes, at, length }: Labels): boolean {
    const { lower } = this;
    if (lower.length !== length) return false;
    for (let i = 0; i < length; i++) if (LOWER[bytes[at + i] ?? 0] !== lower.charCodeAt(i)) return false;
    return true;
  }
}

/** Where a name's labels lie, in any case and without the root's. One that is used again costs nothing. */
export interface Labels {
  bytes: Uint8Array;
  at: number;
  /** bytes */
  length: number;
}

/** What an endpoint has put into its zone. */
interface Entry {
  readonly zone: Zone;
  readonly record: NameRecord;
  readonly names: readonly {
    readonly name: Name;
    readonly v4: readonly Member<number>[];
    readonly v6: readonly Member<Uint8Array>[];
  }[];
}

export class Zone {
  readonly id: Id;
  readonly #names = new Map<number, Name>();
  /** The first name by address. */
  readonly addresses = new Map<string, NameRecord>();
  /** Endpoints and clients: who is interested in it. */
  users = 0;

  constructor(id: Id) {
    this.id = id;
  }

  find(hash: number, labels: Labels): Name | undefined {
    for (let name = this.#names.get(hash); name !== undefined; name = name.next) {
      if (name.is(labels)) return name;
    }
    return undefined;
  }

  hold(lower: Uint8Array, hash: number): Name {
    const known = this.find(hash, { bytes: lower, at: 0, length: lower.length });
    const name = known ?? new Name(Buffer.from(lower.buffer, lower.byteOffset, lower.length).toString('latin1'), hash);
    if (known === undefined) {
      name.next = this.#names.get(hash);
      this.#names.set(hash, name);
    }
    name.holders++;
    return name;
  }

  release(name: Name): void {
    if (--name.holders > 0) return;
    const first = this.#names.get(name.hash);
    if (first === name) {
      if (name.next === undefined) this.#names.delete(name.hash);
      else this.#names.set(name.hash, name.next);
      return;
    }
    for (let before = first; before !== undefined; before = before.next) if (before.next === name) before.next = name.next;
  }
}

export class Zones {
  readonly #zones = new Map<Id, Zone>();
  readonly #entries = new Map<Id, Entry>();

  get size(): number {
    return this.#entries.size;
  }

  /** The zone of a network, until it is released as often as it was taken. */
  take(network: Id): Zone {
    let zone = this.#zones.get(network);
    if (zone === undefined) this.#zones.set(network, (zone = new Zone(network)));
    zone.users++;
    return zone;
  }

  release(zone: Zone): void {
    if (--zone.users === 0) this.#zones.delete(zone.id);
  }

  put(record: NameRecord): void {
    this.remove(record.endpoint);
    const zone = this.take(record.network);
    const bytes = record.addresses.map(ipBytes);
    const v4 = bytes.filter(({ length }) => length === 4).map((address) => new DataView(address.buffer).getUint32(0));
    const v6 = bytes.filter(({ length }) => length === 16);
    const texts = new Map(record.names.map((text) => [text.toLowerCase(), text]));
    const names = [...texts.values()].flatMap((text) => {
      const wire = wireName(text);
      if (wire === null) return [];
      const name = zone.hold(wire.lower, wire.hash);
      return [{ name, v4: v4.map((address) => name.v4.add(address)), v6: v6.map((address) => name.v6.add(address)) }];
    });
    for (const address of record.addresses) zone.addresses.set(address, record);
    this.#entries.set(record.endpoint, { zone, record, names });
  }

  remove(endpoint: Id): void {
    const entry = this.#entries.get(endpoint);
    if (entry === undefined) return;
    this.#entries.delete(endpoint);
    const { zone, record, names } = entry;
    for (const { name, v4, v6 } of names) {
      for (const member of v4) name.v4.remove(member);
      for (const member of v6) name.v6.remove(member);
      zone.release(name);
    }
    for (const address of record.addresses) {
      // It may be somebody else's by now.
      if (zone.addresses.get(address) === record) zone.addresses.delete(address);
    }
    this.release(zone);
  }
}
