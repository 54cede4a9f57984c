/** One other host: whether packets of the underlay's size come back from it, and if not, how large ones do. Pure: who calls says what time it is. */
import { type Family, familyOf, type IpAddress } from '../base/ip.ts';
import type { PathTarget } from '../contracts/paths.ts';
import type { PathReport } from '../model/node.ts';
import { Search } from './search.ts';

/** Milliseconds that an answer may take. */
const ANSWER_MS = 1_000;
/** Full packets without an answer until smaller ones are tried. More where they came back before: on a bad day some are lost. */
const TRIES = { first: 3, before: 5 } as const;
/** Milliseconds until the next look. Who is silent may be about to come back. */
const REST_MS = { ok: 60_000, small: 60_000, silent: 15_000 } as const satisfies Record<PathReport['state'], number>;
/** Bytes of a packet that every path takes, and that tells whether anybody answers at all. */
const LEAST = { 4: 68, 6: 100 } as const satisfies Record<Family, number>;

export interface PathPorts {
  /** @returns whether it went out */
  readonly echo: (address: IpAddress, size: number, check: PathCheck) => boolean;
  readonly report: (address: IpAddress, report: PathReport) => void;
  /** 0 to 1. */
  readonly random: () => number;
}

type Phase =
  | { readonly at: 'rest' }
  | { readonly at: 'full'; readonly tries: number }
  | { readonly at: 'search'; readonly search: Search };

export class PathCheck {
  readonly target: PathTarget;
  /** When `step` is to be called, milliseconds. */
  due: number;
  readonly #ports: PathPorts;
  readonly #least: number;
  #phase: Phase = { at: 'rest' };
  #alive = false;
  #last: PathReport | null;

  /** @param last what was known before, if anything */
  constructor(target: PathTarget, ports: PathPorts, { due, last }: { readonly due: number; readonly last: PathReport | null }) {
    this.target = target;
    this.due = due;
    this.#ports = ports;
    this.#last = last;
    this.#least = LEAST[familyOf(target.address)];
  }

  get last(): PathReport | null {
    return this.#last;
  }

  step(now: number): void {
    const phase = this.#phase;
    switch (phase.at) {
      case 'rest':
        this.#alive = false;
        return this.#full(1, now);
      case 'full': {
        const most = this.#last?.state === 'ok' ? TRIES.before : TRIES.first;
        if (phase.tries < most) return this.#full(phase.tries + 1, now);
        if (!this.#alive) return this.#finish('silent', now);
        return this.#volley(new Search(this.#least, this.target.size), now);
      }
      case 'search':
        phase.search.settle();
        return this.#volley(phase.search, now);
    }
  }

  /** A packet of this size has come back. */
  answered(size: number, now: number): void {
    this.#alive = true;
    if (this.#phase.at === 'rest') return;
    if (size >= this.target.size) this.#finish('ok', now);
    else if (this.#phase.at === 'search') this.#phase.search.answered(size);
  }

  /** A router on the way did not take one. @param mtu of its next link, bytes; 0: it does not say */
  tooBig(mtu: number): void {
    this.#alive = true;
    if (this.#phase.at === 'search') this.#phase.search.tooBig(mtu);
  }

  #full(tries: number, now: number): void {
    this.#phase = { at: 'full', tries };
    const { address, size } = this.target;
    this.#ports.echo(address, size, this);
    // Both at once: whoever is there answers at least one.
    this.#ports.echo(address, this.#least, this);
    this.due = now + ANSWER_MS;
  }

  #volley(search: Search, now: number): void {
    const sizes = search.next();
    if (sizes.length === 0) return this.#finish('small', now, search.low);
    this.#phase = { at: 'search', search };
    for (const size of sizes) this.#ports.echo(this.target.address, size, this);
    this.due = now + ANSWER_MS;
  }

  #finish(state: PathReport['state'], now: number, found?: number): void {
    this.#phase = { at: 'rest' };
    // A tenth more or less: the looks of all hosts at each other spread by themselves.
    this.due = now + REST_MS[state] * (0.9 + this.#ports.random() / 5);
    const { size: asked, address } = this.target;
    const mtu = state === 'ok' ? asked : state === 'small' ? (found ?? null) : (this.#last?.mtu ?? null);
    const report: PathReport = { state, asked, mtu };
    const last = this.#last;
    if (last?.state === state && last.asked === asked && last.mtu === mtu) return;
    this.#last = report;
    this.#ports.report(address, report);
  }
}
