/**
 * Keeps the shortcut of the loopback in step with translation: it is told of every element that a plan, an undo or a repair adds or removes, by the one
 * who carries them out. So it has what the kernel has, an operation is done when both are, and no part of the engine knows of it.
 */
import { errorData } from '../base/errors.ts';
import type { Logger } from '../base/clock.ts';
import { type Change, HOST } from '../contracts/change.ts';
import type { Applied, Feature, ForeignChain, Kernel } from '../contracts/kernel.ts';
import type { LoopbackPort, LoopbackTarget, Shortcut } from '../contracts/shortcut.ts';
import type { NftElement, NftTableRef, NftTableState } from '../nft/types.ts';

export interface ShortcutParts {
  readonly shortcut: Shortcut;
  /** The table whose elements translate. */
  readonly table: NftTableRef;
  /** What an element says of ports at the loopback; null: nothing. */
  readonly read: (element: NftElement) => { readonly at: LoopbackPort; readonly target: LoopbackTarget | null } | null;
  readonly logger: Logger;
}

/** The same kernel, whose changes the shortcut follows. What was there before is taken from the first listing of the table, which every start makes. */
export function withShortcut(kernel: Kernel, { shortcut, table, read, logger }: ShortcutParts): Kernel {
  const same = ({ family, name }: NftTableRef): boolean => family === table.family && name === table.name;
  let failed = false;
  let known = false;
  let against: string | null = null;

  /** Translation does what this cannot, so nothing fails for it. */
  const quietly = (work: () => void): void => {
    try {
      work();
    } catch (error) {
      if (!failed)
        logger.warn({ error: errorData(error) }, 'some ports at the loopback are translated: the shortcut has no room');
      failed = true;
    }
  };
  const set = (element: NftElement): void => {
    const found = read(element);
    const target = found?.target ?? null;
    if (found !== null && target !== null) quietly(() => shortcut.set(found.at, target));
  };
  const elements = (changes: readonly Change[], op: 'add' | 'remove'): { element: NftElement; at: number }[] =>
    changes.flatMap((change, at) =>
      change.kind === 'nft-element' && change.op === op && same(change.table) ? [{ element: change.element, at }] : [],
    );
  const remove = (changes: readonly Change[]): void => {
    for (const { element } of elements(changes, 'remove')) {
      const found = read(element);
      if (found !== null) quietly(() => shortcut.remove(found.at));
    }
  };

  /** Features are asked for once, and this one may change. */
  const current: Feature = {
    name: shortcut.feature.name,
    get state() {
      return shortcut.feature.state;
    },
    get why() {
      return shortcut.feature.why;
    },
  };

  return {
    ...kernel,
    async apply(changes, options) {
      // Before, so that nobody is led to where nothing is any more; and after, as a listing may have come in between.
      remove(changes);
      const applied = await kernel.apply(changes, options);
      remove(changes);
      for (const { element, at } of elements(changes, 'add')) if (isThere(applied[at])) set(element);
      return applied;
    },
    async listTable(ref, netns) {
      const state = await kernel.listTable(ref, netns);
      if (!known && same(ref) && (netns ?? HOST) === HOST) {
        known = true;
        for (const element of elementsOf(state)) set(element);
      }
      return state;
    },
    async facts() {
      const facts = await kernel.facts();
      const [chain] = facts.foreignOutput ?? [];
      const now = chain === undefined ? null : objection(chain);
      if (now !== against) {
        const { state } = shortcut.feature;
        against = now;
        shortcut.allow(now);
        if (shortcut.feature.state !== state) logger.info({}, `${shortcut.feature.name}: ${shortcut.feature.why}`);
      }
      return facts;
    },
    features: async () => [...(await kernel.features()), current],
  };
}

/** It would see such a connection leave by a bridge, and not by the loopback as it does when that is translated. */
const objection = ({ family, table, chain }: ForeignChain): string =>
  `chain ${chain} of table ${family} ${table} may stop what this host sends: ports at the loopback are translated`;

const isThere = (result: Applied | undefined): boolean => result?.state === 'changed' || result?.state === 'already';

const elementsOf = (state: NftTableState | null): NftElement[] =>
  Object.entries(state?.sets ?? {}).flatMap(([set, entries]) =>
    Object.entries(entries).map(([key, value]) => ({ set, key, ...(value === '' ? {} : { value }) })),
  );
