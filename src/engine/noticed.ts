/** Who is to be looked at again: what the kernel's notifications say, and what could not be put right. */
import type { Id } from '../base/ids.ts';
import { type Change, HOST, type Netns } from '../contracts/change.ts';
import type { KernelEvent } from '../contracts/kernel.ts';
import { tableName } from '../model/instance.ts';
import type { NftTableRef } from '../nft/types.ts';
import type { Context } from './context.ts';
import { networksOver } from './peers.ts';

export class Noticed {
  readonly #ctx: Context;
  host = false;
  nft = false;
  all = false;
  /** Facts may have changed. */
  stale = false;
  readonly networks = new Set<Id>();
  readonly sandboxes = new Set<Id>();

  constructor(ctx: Context) {
    this.#ctx = ctx;
  }

  get any(): boolean {
    return this.host || this.nft || this.stale || this.urgent;
  }

  /** Something of ours that containers need. */
  get urgent(): boolean {
    return this.all || this.networks.size > 0 || this.sandboxes.size > 0;
  }

  /** What a notification makes dirty. Cheap: it comes for every link of a busy host. */
  note(event: KernelEvent): void {
    const { registry } = this.#ctx;
    switch (event.type) {
      case 'overrun':
        this.all = true;
        this.distrust();
        break;
      case 'nft': {
        if (event.netns !== undefined && event.netns !== HOST) {
          this.#noticeInside(event.netns, event.table);
          break;
        }
        const own =
          event.table === null || (event.table.family === 'inet' && event.table.name === tableName(this.#ctx.config.instance));
        if (own) this.nft = true;
        if (!own || event.table === null) {
          // Somebody else's table: it may drop what we forward, and a rule of ours may have been in it.
          this.host = true;
          this.distrust();
        }
        break;
      }
      case 'link':
      case 'address':
      case 'neighbour':
      case 'route': {
        if (event.netns !== HOST) {
          const sandbox = registry.pinOwner(event.netns);
          if (sandbox !== undefined) this.sandboxes.add(sandbox);
          else this.#noticeSegment(event.netns, event.type === 'link' ? event.name : event.device);
          break;
        }
        const device = event.type === 'link' ? event.name : event.device;
        const owner = registry.linkOwner(device);
        if (owner?.type === 'network') this.networks.add(owner.id);
        else if (owner?.type === 'sandbox') this.sandboxes.add(owner.id);
        else this.distrust();
        for (const network of networksOver(this.#ctx, device)) this.networks.add(network);
        break;
      }
    }
  }

  /** A network's own namespace: the network's part, or an endpoint's end. */
  #noticeSegment(netns: Netns, device: string): void {
    const { registry } = this.#ctx;
    const network = registry.segmentOwner(netns);
    if (network === undefined) return;
    this.networks.add(network);
    const owner = registry.linkOwner(device);
    if (owner?.type === 'sandbox') this.sandboxes.add(owner.id);
  }

  /** A table in a sandbox: one of ours, or the business of who is in there. */
  #noticeInside(netns: Netns, table: NftTableRef | null): void {
    const sandbox = this.#ctx.registry.pinOwner(netns);
    const ours = (change: Change): boolean =>
      change.kind === 'nft-table' && change.table.family === table?.family && change.table.name === table.name;
    if (sandbox !== undefined && (table === null || this.#ctx.resolver.planClient(netns).some(ours))) this.sandboxes.add(sandbox);
  }

  /** Whoever needs facts reads them anew, and so do we, in case plans depend on what changed. */
  distrust(): void {
    this.#ctx.facts.invalidate();
    this.stale = true;
  }

  /** @param owner `host`, or the id of a network or sandbox; one that is gone is passed over */
  mark(owner: string): void {
    if (owner === 'host') this.host = true;
    else if (this.#ctx.registry.networks.has(owner as Id)) this.networks.add(owner as Id);
    else if (this.#ctx.registry.sandboxes.has(owner as Id)) this.sandboxes.add(owner as Id);
  }
}
