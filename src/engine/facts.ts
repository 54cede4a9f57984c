/**
 * Host facts, kept: gathering them costs a round trip to the kernel's worker, which an operation need not pay as long as nothing
 * told us that they changed.
 */
import type { Prefix } from '../base/ip.ts';
import type { HostFacts, Kernel } from '../contracts/kernel.ts';
import type { Underlay } from '../model/node.ts';

export class FactsCache {
  readonly #kernel: Kernel;
  /** Subnets of our own networks: their routes must not keep a freed pool from being used again. */
  readonly #own: () => Iterable<Prefix>;
  /** As the kernel has them. */
  #raw: HostFacts | null = null;
  /** As plans see them. */
  #facts: HostFacts | null = null;
  /** Sysctls as they were before we first changed them. */
  #originals: Readonly<Record<string, string>> = {};
  #localhostPorts = false;
  #foreign: readonly Prefix[] = [];
  #stale = true;
  #running: Promise<HostFacts> | null = null;

  readonly #underlay: (() => Promise<Underlay>) | undefined;

  /** @param underlay of a host in a cluster */
  constructor(kernel: Kernel, own: () => Iterable<Prefix>, underlay?: () => Promise<Underlay>) {
    this.#kernel = kernel;
    this.#own = own;
    this.#underlay = underlay;
  }

  /** Something foreign changed: whoever asks next waits for new facts. */
  invalidate(): void {
    this.#stale = true;
  }

  /**
   * Sysctls as they were before this instance changed them since boot. Plans see those, so that they stay the same, and know what an
   * undo goes back to.
   */
  setOriginals(sysctls: Readonly<Record<string, string>>): void {
    this.#originals = sysctls;
    if (this.#raw !== null) this.#facts = this.#planned(this.#raw);
  }

  /** From now on, and until the next start at least: what ports need of a bridge it keeps when they go. */
  setLocalhostPorts(are: boolean): void {
    this.#localhostPorts = are;
    if (this.#raw !== null) this.#facts = this.#planned(this.#raw);
  }

  /** What the kernel has at the moment, sysctls included. */
  async actual(): Promise<HostFacts> {
    await this.get();
    return this.#raw ?? this.#gather();
  }

  #planned(raw: HostFacts): HostFacts {
    const sysctls = { ...raw.sysctls, ...this.#originals };
    return { ...raw, sysctls, ...(this.#localhostPorts ? { localhostPorts: true } : {}) };
  }

  /** Fresh enough facts, without waiting when nothing changed. */
  async get(): Promise<HostFacts> {
    return this.#facts !== null && !this.#stale ? this.#facts : this.refresh();
  }

  /** The facts of the last `get`. @throws when there was none: a programming error. */
  known(): HostFacts {
    if (this.#facts === null) throw new Error('host facts were not gathered yet');
    return this.#facts;
  }

  /** Asks the kernel. Several at once ask once. */
  async refresh(): Promise<HostFacts> {
    this.#running ??= this.#gather().finally(() => {
      this.#running = null;
    });
    return this.#running;
  }

  /** Routes of the host that are not to our own networks. */
  foreignRoutes(): readonly Prefix[] {
    return this.#foreign;
  }

  /**
   * An uplink that is away keeps its MTU: it may be gone for the moment in which a cable is pulled or a lease renewed, and every network and
   * every sandbox would take over another one, and the old one again.
   */
  async #gather(): Promise<HostFacts> {
    // Before and after: a network may come or go while the worker reads.
    const own = new Set(this.#own());
    this.#stale = false;
    try {
      const [kernel, underlay] = await Promise.all([this.#kernel.facts(), this.#underlay?.()]);
      const facts: HostFacts = {
        ...kernel,
        ...(underlay === undefined ? {} : { underlay }),
        ...(kernel.uplink === '' && this.#raw !== null ? { uplinkMtu: this.#raw.uplinkMtu } : {}),
      };
      for (const subnet of this.#own()) own.add(subnet);
      this.#foreign = facts.routes.filter((route) => !own.has(route));
      this.#raw = facts;
      this.#facts = this.#planned(facts);
      return this.#facts;
    } catch (error) {
      this.#stale = true;
      throw error;
    }
  }
}
