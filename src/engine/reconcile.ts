/**
 * Keeps the kernel as it should be. Notifications say who to look at again; once a minute everything is looked at. Passes run under
 * the world lock, so that no operation is half done meanwhile, and look only at what is dirty, so that the lock is short.
 */
import type { Id } from '../base/ids.ts';
import { type Change, HOST, type Netns } from '../contracts/change.ts';
import { describe } from '../contracts/describe.ts';
import type { HostFacts, KernelEvent } from '../contracts/kernel.ts';
import type { NftTableRef } from '../nft/types.ts';
import { tableName } from '../model/instance.ts';
import type { Underlay } from '../model/node.ts';
import { Backoff } from './backoff.ts';
import type { Context, EngineTimes } from './context.ts';
import { followHostDns } from './host-dns.ts';
import { everything, type Scope } from './desired.ts';
import { failures } from './executor.ts';
import { tellFollowers } from './follow.ts';
import { networksOver } from './peers.ts';
import { type PassOptions, repairPass, type Repaired, type Unrepaired } from './repair.ts';
import { subject } from './subject.ts';
import { orphans } from './sweep.ts';

const TIMES: EngineTimes = { settle: 5, sweep: 60_000 };
/** Milliseconds: what others do to their own links and tables concerns us little, and on a busy host it never ends. */
const FOREIGN_SETTLE = 250;
/** Repairs that status shows. */
const KEPT = 100;
/** Sandboxes that the periodic look takes at a time, so that operations get their turn in between. */
const CHUNK = 32;

export interface KeptRepair {
  readonly time: number;
  readonly what: string;
  readonly why: string;
}

export class Reconciler {
  readonly #ctx: Context;
  readonly #times: EngineTimes;
  readonly #backoff = new Backoff();
  readonly repairs: KeptRepair[] = [];
  #host = false;
  #nft = false;
  #all = false;
  /** Facts may have changed. */
  #stale = false;
  readonly #networks = new Set<Id>();
  readonly #sandboxes = new Set<Id>();
  #timer: NodeJS.Timeout | null = null;
  /** When the timer fires, in milliseconds of the monotonic clock. */
  #due = 0;
  #sweeper: NodeJS.Timeout | null = null;
  #running: Promise<void> | null = null;
  /** Events are kept, not acted on, until the first full pass is through, and after `stop`. */
  #open = false;
  #factsSeen: HostFacts | null = null;
  /** Facts by which files and upstreams of sandboxes are, when the host's resolv.conf is another one by now. */
  #oldDns: HostFacts | null = null;

  /** Of the uplink, bytes; and what it was, as long as not everybody has taken the new one over. */
  #mtu: number | null = null;
  #mtuBefore: number | null = null;

  constructor(ctx: Context) {
    this.#ctx = ctx;
    this.#times = { ...TIMES, ...ctx.config.times };
  }

  /** What a notification makes dirty. Cheap: it comes for every link of a busy host. */
  readonly notice = (event: KernelEvent): void => {
    const { registry } = this.#ctx;
    switch (event.type) {
      case 'overrun':
        this.#all = true;
        this.#distrust();
        break;
      case 'nft': {
        if (event.netns !== undefined && event.netns !== HOST) {
          this.#noticeInside(event.netns, event.table);
          break;
        }
        const own =
          event.table === null || (event.table.family === 'inet' && event.table.name === tableName(this.#ctx.config.instance));
        if (own) this.#nft = true;
        if (!own || event.table === null) {
          // Somebody else's table: it may drop what we forward, and a rule of ours may have been in it.
          this.#host = true;
          this.#distrust();
        }
        break;
      }
      case 'link':
      case 'address':
      case 'neighbour':
      case 'route': {
        if (event.netns !== HOST) {
          const sandbox = registry.pinOwner(event.netns);
          if (sandbox !== undefined) this.#sandboxes.add(sandbox);
          else this.#noticeSegment(event.netns, event.type === 'link' ? event.name : event.device);
          break;
        }
        const device = event.type === 'link' ? event.name : event.device;
        const owner = registry.linkOwner(device);
        if (owner?.type === 'network') this.#networks.add(owner.id);
        else if (owner?.type === 'sandbox') this.#sandboxes.add(owner.id);
        else this.#distrust();
        for (const network of networksOver(this.#ctx, device)) this.#networks.add(network);
        break;
      }
    }
    const urgent = this.#all || this.#networks.size > 0 || this.#sandboxes.size > 0;
    // A transaction is told when it is through: there is nothing to wait for while our rules are missing.
    this.#schedule(this.#nft ? 0 : urgent ? this.#times.settle : FOREIGN_SETTLE);
  };

  /** A network's own namespace: the network's part, or an endpoint's end. */
  #noticeSegment(netns: Netns, device: string): void {
    const { registry } = this.#ctx;
    const network = registry.segmentOwner(netns);
    if (network === undefined) return;
    this.#networks.add(network);
    const owner = registry.linkOwner(device);
    if (owner?.type === 'sandbox') this.#sandboxes.add(owner.id);
  }

  /** A table in a sandbox: one of ours, or the business of who is in there. */
  #noticeInside(netns: Netns, table: NftTableRef | null): void {
    const sandbox = this.#ctx.registry.pinOwner(netns);
    const ours = (change: Change): boolean =>
      change.kind === 'nft-table' && change.table.family === table?.family && change.table.name === table.name;
    if (sandbox !== undefined && (table === null || this.#ctx.resolver.planClient(netns).some(ours)))
      this.#sandboxes.add(sandbox);
  }

  /** A network of which something could not be made. */
  readonly look = (network: Id): void => {
    this.#networks.add(network);
    this.#schedule(this.#times.settle);
  };

  /** The host's resolv.conf may have changed. */
  readonly noticeResolvConf = (): void => {
    this.#distrust();
    this.#schedule(FOREIGN_SETTLE);
  };

  /** Whoever needs facts reads them anew, and so do we, in case plans depend on what changed. */
  #distrust(): void {
    this.#ctx.facts.invalidate();
    this.#stale = true;
  }

  /** Starts to act on what was noticed, and to look at everything from time to time. */
  start(facts: HostFacts): void {
    this.#open = true;
    this.#mtu = facts.uplinkMtu;
    this.#factsSeen = facts;
    this.#sweeper = setInterval(() => void this.#background(() => this.#lookAround()), this.#times.sweep).unref();
    this.#schedule(this.#times.settle);
  }

  /** Nothing is repaired any more, not even by what waits for its turn. */
  close(): void {
    this.#open = false;
    clearTimeout(this.#timer ?? undefined);
    clearInterval(this.#sweeper ?? undefined);
    this.#timer = null;
  }

  /** Resolves when nothing is under way any more. Not to be awaited under the world lock. */
  async idle(): Promise<void> {
    await this.#running;
  }

  #dirty(): boolean {
    return (
      this.#host ||
      this.#nft ||
      this.#all ||
      this.#stale ||
      this.#oldDns !== null ||
      this.#networks.size > 0 ||
      this.#sandboxes.size > 0
    );
  }

  #schedule(delay: number): void {
    if (!this.#open || !this.#dirty()) return;
    const due = performance.now() + delay;
    if (this.#timer !== null && this.#due <= due) return;
    clearTimeout(this.#timer ?? undefined);
    this.#due = due;
    this.#timer = setTimeout(() => {
      this.#timer = null;
      void this.#background(() => this.#repairDirty());
    }, delay).unref();
  }

  /** One piece of work at a time; a failure is logged, for nobody waits for it. */
  async #background(work: () => Promise<void>): Promise<void> {
    const before = this.#running;
    const run = (async () => {
      await before;
      if (!this.#open) return;
      try {
        await work();
      } catch (error) {
        this.#ctx.logger.error({ err: error }, 'could not reconcile');
      }
    })();
    this.#running = run;
    await run;
  }

  async #repairDirty(): Promise<void> {
    const ctx = this.#ctx;
    this.#stale = false;
    await this.#followFacts();
    this.#noteMtu();
    if (!this.#dirty()) return;
    using _world = await ctx.world.exclusive();
    if (!this.#open) return;
    await this.#followDns();
    const now = ctx.clock.now();
    const options: PassOptions = { nft: this.#nft || this.#all, unseen: this.#all };
    const everybody = this.#all ? everything(ctx) : null;
    const ready = (id: string): boolean => this.#backoff.delay(id, now) === 0;
    const scope: Scope = {
      host: (this.#host || this.#all) && ready('host'),
      networks: [...(everybody?.networks ?? this.#networks)].filter(ready),
      sandboxes: [...(everybody?.sandboxes ?? this.#sandboxes)].filter(ready),
    };
    const late = [...this.#networks, ...this.#sandboxes, ...(this.#host ? ['host'] : [])].map((id) =>
      this.#backoff.delay(id, now),
    );
    this.#all = false;
    const nft = options.nft && ready('nft');
    if (nft) this.#nft = false;
    else if (options.nft) late.push(this.#backoff.delay('nft', now));
    if (scope.host) this.#host = false;
    for (const id of scope.networks) this.#networks.delete(id);
    for (const id of scope.sandboxes) this.#sandboxes.delete(id);
    const { repaired, failed } = await repairPass(ctx, scope, { ...options, nft });
    this.#tell(repaired, failed);
    if (everybody !== null) this.#mtuBefore = null;
    // What came in meanwhile is looked at soon; what has to wait, later.
    this.#schedule(Math.max(this.#times.settle, Math.min(...late.filter((delay) => delay > 0), LONGEST_DELAY)));
  }

  /** Facts that plans depend on may have changed (an uplink with another MTU): then every plan may have. */
  async #followFacts(): Promise<void> {
    const facts = await this.#ctx.facts.get();
    const seen = this.#factsSeen;
    this.#factsSeen = facts;
    if (seen === null) return;
    if (relevant(seen) !== relevant(facts)) this.#all = true;
    if (dnsFacts(seen) !== dnsFacts(facts)) this.#oldDns ??= seen;
  }

  /** The world lock is held exclusively. */
  async #followDns(): Promise<void> {
    const before = this.#oldDns;
    if (before === null) return;
    this.#oldDns = null;
    await followHostDns(this.#ctx, before, await this.#ctx.facts.get());
  }

  #noteMtu(): void {
    const { uplinkMtu } = this.#ctx.facts.known();
    if (this.#mtu !== null && this.#mtu !== uplinkMtu) this.#mtuBefore ??= this.#mtu;
    this.#mtu = uplinkMtu;
  }

  /**
   * Everything, sweep included, now. The world lock is held exclusively.
   * @param why instead of what the comparison says of each thing: at the first start nothing was deleted
   */
  async full(why?: string): Promise<readonly Repaired[]> {
    const ctx = this.#ctx;
    await ctx.facts.refresh();
    const seen = await repairPass(ctx, everything(ctx), { nft: false, unseen: true });
    this.#tell(why === undefined ? seen.repaired : seen.repaired.map((one) => ({ ...one, why })), seen.failed);
    const swept = await this.#sweep(await orphans(ctx, seen));
    return [...seen.repaired, ...swept];
  }

  /** The periodic look: the host's side and the sweep at once, sandboxes a few at a time. */
  async #lookAround(): Promise<void> {
    const ctx = this.#ctx;
    await ctx.facts.refresh();
    {
      using _world = await ctx.world.exclusive();
      if (!this.#open) return;
      await this.#followFacts();
      this.#noteMtu();
      await this.#followDns();
      const scope: Scope = { host: true, networks: everything(ctx).networks, sandboxes: [] };
      const seen = await repairPass(ctx, scope, { nft: true, unseen: false });
      this.#tell(seen.repaired, seen.failed);
      await this.#sweep(await orphans(ctx, seen));
    }
    const { sandboxes } = everything(ctx);
    for (let i = 0; i < sandboxes.length && this.#open; i += CHUNK) {
      using _world = await ctx.world.exclusive();
      if (!this.#open) return;
      const scope: Scope = { host: false, networks: [], sandboxes: sandboxes.slice(i, i + CHUNK) };
      const { repaired, failed } = await repairPass(ctx, scope, { nft: false, unseen: false });
      this.#tell(repaired, failed);
    }
    this.#backoff.retain((owner) => owner === 'host' || owner === 'nft' || ctx.registry.knows(owner));
    this.#schedule(this.#times.settle);
  }

  async #sweep(changes: readonly Change[]): Promise<Repaired[]> {
    if (changes.length === 0) return [];
    const ctx = this.#ctx;
    const applied = await ctx.kernel.apply(changes, { keepGoing: true });
    for (const { change, error } of failures(changes, applied)) {
      ctx.logger.error({ error: error.message }, `could not remove ${subject(change)}, which nobody owns`);
    }
    const swept = changes.filter((_, i) => applied[i]?.state === 'changed');
    if (swept.length > 0) ctx.logger.warn({ count: swept.length }, `removed what nobody owns: ${some(swept.map(subject))}`);
    return swept.map((change) => ({ owner: 'host', where: 'the host', what: describe(change), why: 'nobody owns it' }));
  }

  #tell(all: readonly Repaired[], failed: readonly Unrepaired[]): void {
    const { clock, logger, events, registry, facts } = this.#ctx;
    const repaired =
      this.#mtuBefore === null ? all : tellFollowers(all, this.#mtuBefore, { facts: facts.known(), registry, logger });
    const now = clock.now();
    for (const lines of Map.groupBy(repaired, ({ owner }) => owner).values()) this.#say(lines);
    if (this.#open) {
      for (const { owner, where, what, why } of repaired) {
        this.repairs.push({ time: now, what: `${what} in ${where}`, why });
        if (this.repairs.length > KEPT) this.repairs.shift();
        events.emit({ type: 'daemon', action: 'repair', actorId: owner, attributes: { name: where, what, why }, time: now });
      }
    }
    for (const { owner, where, what, why, error } of failed)
      logger.error({ owner, what, why, error }, `could not restore ${what} in ${where}: ${error}`);
    // What failed is tried again, after a wait that grows.
    for (const { owner } of failed) this.#mark(owner);
    if (!this.#open) return;
    for (const [owner, lines] of Map.groupBy([...repaired, ...failed], (one) => this.#fighter(one))) {
      const wait = this.#backoff.repaired(owner, now);
      const where = lines[0]?.where ?? owner;
      if (wait === null) continue;
      logger.warn({ owner, wait }, `something keeps changing ${where}: next repair in ${wait / 1000} s at the earliest`);
    }
  }

  /** One line for what was repaired of one owner. A link that went took its addresses and routes with it: it comes first. */
  #say(lines: readonly Repaired[]): void {
    const lead = lines.find(({ what }) => what.startsWith('link ')) ?? lines[0];
    if (lead === undefined) return;
    const { owner, where, what, why } = lead;
    const others = lines.filter((line) => line !== lead).map((line) => line.what);
    const fields = { owner, what, why, ...(others.length > 0 ? { also: others.join(', ') } : {}) };
    const { logger } = this.#ctx;
    if (this.#open) logger.warn(fields, `restored ${what} in ${where}: ${why}`);
    // Before the first pass is through, most of it is what a boot took away, or a first start has to make: nobody's doing.
    else logger.info(fields, `set up ${what} in ${where}: ${why}`);
  }

  /** Whose repairs are counted together: those of the table are nobody's in particular. */
  #fighter({ owner, what }: Repaired): string {
    return owner === 'host' && what.startsWith('table ') ? 'nft' : owner;
  }

  #mark(owner: string): void {
    if (owner === 'host') this.#host = true;
    else if (this.#ctx.registry.networks.has(owner as Id)) this.#networks.add(owner as Id);
    else if (this.#ctx.registry.sandboxes.has(owner as Id)) this.#sandboxes.add(owner as Id);
  }
}

/** Things that one line of the log names. */
const NAMED = 8;

const some = (names: readonly string[]): string =>
  [...names.slice(0, NAMED), ...(names.length > NAMED ? [`${names.length - NAMED} more`] : [])].join(', ');

/** Milliseconds: no dirty owner waits longer than the longest back-off. */
const LONGEST_DELAY = 60_000;

/**
 * The facts that plans depend on. Routes and addresses only matter to allocation, which reads them afresh; what depends on resolv.conf is
 * changed by itself, and what is known of paths by who looks at them.
 */
function relevant({ routes: _r, addresses: _a, resolvConf: _c, resolvedConf: _d, underlay, ...rest }: HostFacts): string {
  const { paths: _p, brokenChecksums: _b, ...where }: Partial<Underlay> = underlay ?? {};
  return JSON.stringify([rest, where]);
}

const dnsFacts = ({ resolvConf, resolvedConf = '' }: HostFacts): string => JSON.stringify([resolvConf, resolvedConf]);
