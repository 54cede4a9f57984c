/** Which address of a segment to ask for next. What others have is listed when one is wanted, and remembered; nobody follows it. */
import { conflict, errorData, exhausted } from '../base/errors.ts';
import type { Id } from '../base/ids.ts';
import { familyOf, type IpAddress, parseIp } from '../base/ip.ts';
import type { AddressClaim } from '../contracts/cluster.ts';
import type { Store } from '../contracts/store.ts';
import { candidates } from './candidates.ts';
import { addressesFolder } from './keys.ts';

export interface FreeAddressesDeps {
  readonly store: Store;
  /** 0 to 1. */
  readonly random: () => number;
  /** Whether it is known, without the store, that somebody has it. */
  readonly isTaken: (network: Id, address: IpAddress) => boolean;
  readonly complain: (key: string, why: string) => void;
}

/** Tries at addresses that others were faster to take. */
const TRIES = 50;
/** Free addresses of which one is taken by chance, once others were faster; more at each further try. */
const SPREAD = 16;

export class FreeAddresses {
  readonly #deps: FreeAddressesDeps;
  /** Taken by others, as they were listed or met, by network. */
  readonly #taken = new Map<Id, Set<IpAddress>>();
  /** Given last, by network and range: the search goes on behind it, so that what was released is not the next one given. */
  readonly #last = new Map<string, IpAddress>();

  constructor(deps: FreeAddressesDeps) {
    this.#deps = deps;
  }

  /**
   * @param take whether an address was to be had
   * @throws exhausted; conflict when others were faster again and again; what `take` and the store throw
   */
  async search(network: Id, wish: AddressClaim, take: (address: IpAddress) => Promise<boolean>): Promise<IpAddress> {
    const before = this.#taken.get(network);
    let taken = before ?? (await this.#list(network));
    let listed = before === undefined;
    const isTaken = (address: IpAddress): boolean => taken.has(address) || this.#deps.isTaken(network, address);
    const range = wish.range ?? wish.subnet;
    const from = `${network} ${range}`;
    for (let tries = 0; tries < TRIES; tries++) {
      const list = candidates(wish, { isTaken, last: this.#last.get(from), count: tries === 0 ? 1 : SPREAD * tries });
      const address = list[Math.floor(this.#deps.random() * list.length)];
      if (address !== undefined && (await take(address))) {
        this.#last.set(from, address);
        return address;
      }
      if (address === undefined && listed)
        throw exhausted(`no available IPv${familyOf(wish.subnet)} addresses on this network's address pools: ${range}`);
      // Others have been here since it was listed; and what they have given back meanwhile is free again.
      if (address === undefined || tries === 1) {
        taken = await this.#list(network);
        listed = true;
      }
    }
    throw conflict(`cannot claim an address of ${wish.subnet}: others were faster ${TRIES} times`);
  }

  /** Somebody else has it. */
  met(network: Id, address: IpAddress): void {
    this.#taken.get(network)?.add(address);
  }

  /** The network is no more. */
  forget(network: Id): void {
    this.#taken.delete(network);
  }

  async #list(network: Id): Promise<Set<IpAddress>> {
    const folder = addressesFolder(network);
    const { entries } = await this.#deps.store.list(folder);
    const taken = this.#taken.get(network) ?? new Set<IpAddress>();
    taken.clear();
    this.#taken.set(network, taken);
    for (const { key } of entries) {
      try {
        taken.add(parseIp(key.slice(folder.length)));
      } catch (error) {
        this.#deps.complain(key, errorData(error).message);
      }
    }
    return taken;
  }
}
