/**
 * Keeps the kernel as it should be. Notifications say who to look at again; once a minute everything is looked at. Passes run under
 * the world lock, so that no operation is half done meanwhile, and look only at what is dirty, so that the lock is short.
 */
import type { Id } from '../base/ids.ts';
import type { Change } from '../contracts/change.ts';
import { describe } from '../contracts/describe.ts';
import type { HostFacts, KernelEvent } from '../contracts/kernel.ts';
import type { Underlay } from '../model/node.ts';
import { Backoff } from './backoff.ts';
import type { Context, EngineTimes } from './context.ts';
import { followHostDns } from './host-dns.ts';
import { everything, type Scope } from './desired.ts';
import { failures } from './executor.ts';
import { hostChange, tellRulesFollow } from './follow-host.ts';
import { tellFollowers } from './follow.ts';
import { Noticed } from './noticed.ts';
import { type PassOptions, type PassResult, repairPass, type Repaired, type Unrepaired } from './repair.ts';
import { type KeptRepair, RepairReport } from './repair-report.ts';
import { orphans } from './sweep.ts';

const TIMES: EngineTimes = { settle: 5, sweep: 60_000 };
/** Milliseconds: what others do to their own links and tables concerns us little, and on a busy host it never ends. */
const FOREIGN_SETTLE = 250;
/** Sandboxes that the periodic look takes at a time, so that operations get their turn in between. */
const CHUNK = 32;

export class Reconciler {
  readonly #ctx: Context;
  readonly #times: EngineTimes;
  readonly #backoff = new Backoff();
  readonly #noticed: Noticed;
  readonly #report: RepairReport;
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
  /** What its rules were made for, as long as not all of them are for what it is now. */
  #hostBefore: HostFacts | null = null;

  constructor(ctx: Context) {
    this.#ctx = ctx;
    this.#times = { ...TIMES, ...ctx.config.times };
    this.#noticed = new Noticed(ctx);
    this.#report = new RepairReport(ctx);
  }

  /** The latest ones, oldest first. */
  get repairs(): readonly KeptRepair[] {
    return this.#report.kept;
  }

  /** Cheap: it comes for every link of a busy host. */
  readonly notice = (event: KernelEvent): void => {
    this.#noticed.note(event);
    // A transaction is told when it is through: there is nothing to wait for while our rules are missing.
    this.#schedule(this.#noticed.nft ? 0 : this.#noticed.urgent ? this.#times.settle : FOREIGN_SETTLE);
  };

  /** A network of which something could not be made. */
  readonly look = (network: Id): void => {
    this.#noticed.networks.add(network);
    this.#schedule(this.#times.settle);
  };

  /** The host's resolv.conf may have changed. */
  readonly noticeResolvConf = (): void => {
    this.#noticed.distrust();
    this.#schedule(FOREIGN_SETTLE);
  };

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
    return this.#noticed.any || this.#oldDns !== null;
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
    this.#noticed.stale = false;
    await this.#followFacts();
    this.#noteMtu();
    if (!this.#dirty()) return;
    using _world = await ctx.world.exclusive();
    if (!this.#open) return;
    await this.#followDns();
    const now = ctx.clock.now();
    const options: PassOptions = { nft: this.#noticed.nft || this.#noticed.all, unseen: this.#noticed.all };
    const everybody = this.#noticed.all ? everything(ctx) : null;
    const ready = (id: string): boolean => this.#backoff.delay(id, now) === 0;
    const scope: Scope = {
      host: (this.#noticed.host || this.#noticed.all) && ready('host'),
      networks: [...(everybody?.networks ?? this.#noticed.networks)].filter(ready),
      sandboxes: [...(everybody?.sandboxes ?? this.#noticed.sandboxes)].filter(ready),
    };
    const late = [...this.#noticed.networks, ...this.#noticed.sandboxes, ...(this.#noticed.host ? ['host'] : [])].map((id) =>
      this.#backoff.delay(id, now),
    );
    this.#noticed.all = false;
    const nft = options.nft && ready('nft');
    if (nft) this.#noticed.nft = false;
    else if (options.nft) late.push(this.#backoff.delay('nft', now));
    if (scope.host) this.#noticed.host = false;
    for (const id of scope.networks) this.#noticed.networks.delete(id);
    for (const id of scope.sandboxes) this.#noticed.sandboxes.delete(id);
    const { repaired, failed } = await repairPass(ctx, scope, { ...options, nft });
    this.#tell(repaired, failed);
    if (everybody !== null) this.#mtuBefore = this.#hostBefore = null;
    // What came in meanwhile is looked at soon; what has to wait, later.
    this.#schedule(Math.max(this.#times.settle, Math.min(...late.filter((delay) => delay > 0), LONGEST_DELAY)));
  }

  /** Facts that plans depend on may have changed (an uplink with another MTU): then every plan may have. */
  async #followFacts(): Promise<void> {
    const facts = await this.#ctx.facts.get();
    const seen = this.#factsSeen;
    this.#factsSeen = facts;
    if (seen === null) return;
    if (relevant(seen) !== relevant(facts)) this.#noticed.all = true;
    if (hostChange(seen, facts) !== '') this.#hostBefore ??= seen;
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
  async full(why?: string): Promise<Pick<PassResult, 'repaired' | 'failed'>> {
    const ctx = this.#ctx;
    await ctx.facts.refresh();
    const seen = await repairPass(ctx, everything(ctx), { nft: false, unseen: true });
    this.#tell(why === undefined ? seen.repaired : seen.repaired.map((one) => ({ ...one, why })), seen.failed);
    const swept = await this.#sweep(await orphans(ctx, seen));
    return { repaired: [...seen.repaired, ...swept], failed: seen.failed };
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
    const swept = changes.filter((_, i) => applied[i]?.state === 'changed');
    this.#report.tellSwept(swept, failures(changes, applied));
    return swept.map((change) => ({ owner: 'host', where: 'the host', what: describe(change), why: 'nobody owns it' }));
  }

  #tell(all: readonly Repaired[], failed: readonly Unrepaired[]): void {
    const { clock, logger, registry, facts } = this.#ctx;
    const known = facts.known();
    const broken = this.#hostBefore === null ? all : tellRulesFollow(all, hostChange(this.#hostBefore, known), logger);
    const repaired =
      this.#mtuBefore === null ? broken : tellFollowers(broken, this.#mtuBefore, { facts: known, registry, logger });
    this.#report.tell(repaired, failed, this.#open);
    // What failed is tried again, after a wait that grows.
    for (const { owner } of failed) this.#noticed.mark(owner);
    if (!this.#open) return;
    for (const [owner, lines] of Map.groupBy([...repaired, ...failed], (one) => this.#fighter(one))) {
      const wait = this.#backoff.repaired(owner, clock.now());
      const where = lines[0]?.where ?? owner;
      if (wait === null) continue;
      logger.warn({ owner, wait }, `something keeps changing ${where}: next repair in ${wait / 1000} s at the earliest`);
    }
  }

  /** Whose repairs are counted together: those of the table are nobody's in particular. */
  #fighter({ owner, what }: Repaired): string {
    return owner === 'host' && what.startsWith('table ') ? 'nft' : owner;
  }
}

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
