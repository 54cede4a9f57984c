/** Consecutive changes of one namespace in one send, and what the kernel's answers to it mean. */
import { MoorError } from '../base/errors.ts';
import type { Applied } from '../contracts/kernel.ts';
import { deleteLinks } from '../netlink/delete-links.ts';
import { deleteLink } from '../netlink/link.ts';
import type { Request } from '../netlink/request.ts';
import { hasCode } from '../sys/errors.ts';
import { Dumps } from './dumps.ts';
import { already, whatExists } from './existing.ts';
import { ALREADY, CHANGED, failed, isRemoval } from './failure.ts';
import { type RouteChange, besideRequest, replaceRequest, requestsOf } from './requests.ts';
import { comesBeside, comesInstead } from './succession.ts';
import type { Space, Spaces } from './spaces.ts';

interface Unit {
  /** Position in the list that is applied. */
  readonly at: number;
  readonly change: RouteChange;
  readonly requests: readonly Request[];
  /** Position of the removal that its message carries out as well: the kernel puts the one in the place of the other. */
  readonly instead?: number;
}

export interface BatchContext {
  readonly spaces: Spaces;
  readonly results: Applied[];
  readonly keepGoing: boolean;
}

/** How often what must be sent anew is sent. */
const ROUNDS = 4;
/** What the kernel answers to the removal of something that is not there, by family. */
const GONE = ['ENODEV', 'ENOENT', 'ESRCH', 'EADDRNOTAVAIL', 'ENXIO'] as const;

export class Batch {
  readonly space: Space;
  readonly #context: BatchContext;
  readonly #dumps: Dumps;
  #units: Unit[] = [];
  /** Links that messages of this batch make or change: what the kernel says of them now is not what will be. */
  readonly #touched = new Set<string>();

  constructor(space: Space, context: BatchContext) {
    this.space = space;
    this.#context = context;
    this.#dumps = new Dumps(space);
  }

  /** Removals of links go together and by themselves: see `deleteLinks`. */
  fits(change: RouteChange): boolean {
    const last = this.#units.at(-1)?.change;
    return last === undefined || isLinkRemoval(last) === isLinkRemoval(change);
  }

  /** @returns false when it failed before it could be sent, and nothing more may follow */
  add(at: number, change: RouteChange): boolean {
    const result = this.#prepare(at, change);
    if (result === null) return true;
    this.#context.results[at] = result;
    return result.state !== 'failed' || this.#context.keepGoing;
  }

  #prepare(at: number, change: RouteChange): Applied | null {
    try {
      const device = deviceOf(change);
      if (silent(change) && !this.#touched.has(device) && !this.space.isBorn(device)) {
        const known = already(change, this.space, this.#dumps);
        if (known !== null) return known;
      }
      this.#touched.add(device);
      const last = this.#units.at(-1);
      if (last !== undefined && comesInstead(change, last.change)) {
        this.#units.splice(-1, 1, { at, change, requests: [replaceRequest(change, this.space)], instead: last.at });
      } else if (last !== undefined && comesBeside(change, last.change)) {
        // First the new one, so that at no time there is none.
        this.#units.splice(-1, 0, { at, change, requests: [besideRequest(change, this.space)] });
      } else {
        this.#units.push({ at, change, requests: requestsOf(change, this.space, this.#context.spaces) });
      }
      return null;
    } catch (error) {
      const gone = isRemoval(change) && error instanceof MoorError && error.kind === 'not-found';
      return gone ? ALREADY : failed(change, error);
    }
  }

  /** Sends what there is. @returns false when one failed and nothing more may follow */
  flush(): boolean {
    for (let round = 1; this.#units.length > 0; round++) {
      const again = this.#round(this.#units, round < ROUNDS);
      this.#units = [];
      this.#touched.clear();
      if (again === null) return false;
      for (const { at, change } of again.toSorted((a, b) => a.at - b.at)) if (!this.add(at, change)) return false;
    }
    return true;
  }

  /**
   * One send.
   * @returns what must be sent anew, null when one failed and nothing more may follow
   */
  #round(units: readonly Unit[], mayRepeat: boolean): readonly Unit[] | null {
    const { results, keepGoing } = this.#context;
    const names = units.flatMap(({ change }) => (isLinkRemoval(change) ? [change.link.name] : []));
    const errors =
      names.length > 0 && names.length === units.length
        ? deleteLinks(this.space.namespace, names)
        : this.space.route.execute(units.flatMap((unit) => unit.requests));
    this.#dumps.forget();
    const again: Unit[] = [];
    let position = 0;
    /** A link is not where its index said: messages that named it have failed for that alone. */
    let shifted = false;
    let broken = false;
    for (const unit of units) {
      const answers = errors.slice(position, position + unit.requests.length);
      position += unit.requests.length;
      const error = answers.find((answer) => answer !== null) ?? null;
      const outcome = error !== null && shifted && mayRepeat ? 'repeat' : this.#judge(unit, answers, error);
      if (outcome === 'repeat' && mayRepeat) {
        again.push(unit);
        shifted = true;
      } else if (outcome === 'moved') {
        results[unit.at] = ALREADY;
        shifted = true;
      } else {
        const result = outcome === 'repeat' ? failed(unit.change, error) : outcome;
        if (unit.instead !== undefined && result.state !== 'failed') results[unit.instead] = result;
        // Without `keepGoing` only the first failure counts: later ones may well be its consequences.
        if (result.state !== 'failed' || keepGoing || !broken) results[unit.at] = result;
        broken ||= result.state === 'failed';
      }
    }
    this.#dumps.forget();
    return broken && !keepGoing ? null : again;
  }

  /** `moved`: it is there as wanted, under another index than the one that later messages were given. */
  #judge({ change }: Unit, answers: readonly (MoorError | null)[], error: MoorError | null): Applied | 'repeat' | 'moved' {
    if (error === null) return CHANGED;
    if (isRemoval(change)) return hasCode(error, ...GONE) ? ALREADY : failed(change, error);
    if (change.kind === 'link') {
      this.#forgetBorn(change);
      if (answers[0] === null) {
        // Born, but it could not be finished: a change is done whole or not at all.
        this.space.route.execute([deleteLink(change.link.name)]);
        this.#dumps.forget();
        return failed(change, error);
      }
      // The index is taken.
      if (hasCode(error, 'EBUSY')) return 'repeat';
    }
    // The kernel may find fault with a message before it sees that the name is taken.
    const taken = hasCode(error, 'EEXIST') || (change.kind === 'link' && this.space.find(change.link.name) !== null);
    if (!taken) return failed(change, error);
    const existing = whatExists(change, this.space, { spaces: this.#context.spaces, dumps: this.#dumps });
    if (existing === null) return 'repeat';
    return existing.state === 'already' && change.kind === 'link' ? 'moved' : existing;
  }

  #forgetBorn(change: RouteChange & { readonly kind: 'link' }): void {
    this.space.forgetLink(change.link.name);
    const { kind } = change.link;
    if (kind.type === 'veth') this.#context.spaces.tryGet(kind.peer.netns)?.forgetLink(kind.peer.name);
  }
}

const isLinkRemoval = (change: RouteChange): change is RouteChange & { readonly kind: 'link' } =>
  change.kind === 'link' && change.op === 'remove';

/** Whose message replaces what is there without a word. */
const silent = (change: RouteChange): change is Extract<RouteChange, { kind: 'link-set' | 'neighbour' | 'fdb' }> =>
  change.kind === 'link-set' || change.kind === 'neighbour' || change.kind === 'fdb';

function deviceOf(change: RouteChange): string {
  switch (change.kind) {
    case 'link':
      return change.link.name;
    case 'link-set':
      return change.name;
    case 'address':
      return change.device;
    case 'neighbour':
      return change.neighbour.device;
    case 'fdb':
      return change.entry.device;
    case 'route':
    case 'rule':
      // Concerns no link's state.
      return '';
  }
}
