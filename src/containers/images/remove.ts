/** Which names and images `rmi` and `image prune` take away: Docker's rules and words. */
import { conflict } from '../../base/errors.ts';
import type { Image } from '../../model/container.ts';
import type { StoredImage } from './config.ts';
import { hexOf } from './digest.ts';
import { NAMES, type Stores } from './ingest.ts';
import { familiarText, fullName, fullText, isDigest, parseReference, type Reference, withTag } from './reference.ts';

export interface Removed {
  readonly untagged?: string;
  readonly deleted?: string;
}

export interface RemoveOptions {
  readonly force: boolean;
  /** Our images have no parents, so that there is nothing more to prune. */
  readonly noPrune: boolean;
  /** A container, running or not, that was made from the image. */
  readonly inUse: (imageId: string) => string | null;
  /** A running one; by default none is known to be. */
  readonly running?: (imageId: string) => string | null;
}

/**
 * Takes away a name, and with its last name the image. An image that a container was made from stays, without a name, even by force: the
 * container's root is built on its layers.
 * @throws not-found, conflict; then nothing was changed
 */
export async function remove(stores: Stores, text: string, options: RemoveOptions): Promise<readonly Removed[]> {
  using _held = await stores.lock.hold(NAMES);
  const { catalogue } = stores;
  const stored = catalogue.find(text);
  const references = catalogue.references(stored.id);
  const user = options.inUse(stored.id);
  const given = nameOf(stores, stored, text);
  if (given === null) {
    checkId(stored, isSingle(references), options);
    return await takeAway(stores, stored, { untag: references, drop: user === null });
  }
  if (!options.force && user !== null && isSingle(references)) {
    const who = `container ${shortName(user)} is using its referenced image ${hexOf(stored.id).slice(0, 12)}`;
    throw conflict(`conflict: unable to remove repository reference "${text}" (must force) - ${who}`);
  }
  const untag = withDigests(given, references);
  return await takeAway(stores, stored, { untag, drop: untag.length === references.length && user === null });
}

/** Unused images without a name, or with `all` those with names, too. */
export async function prune(
  stores: Stores,
  options: {
    readonly all: boolean;
    readonly accepts: (image: Image) => boolean;
    readonly inUse: (imageId: string) => string | null;
  },
): Promise<{ readonly deleted: readonly Removed[]; readonly reclaimed: number }> {
  using _held = await stores.lock.hold(NAMES);
  const { catalogue, layers } = stores;
  const deleted: Removed[] = [];
  const before = layers.size();
  for (const stored of catalogue.all) {
    const references = catalogue.references(stored.id);
    if (options.inUse(stored.id) !== null || (references.length > 0 && !options.all)) continue;
    if (options.accepts(catalogue.show(stored)))
      deleted.push(...(await takeAway(stores, stored, { untag: references, drop: true })));
  }
  return { deleted, reclaimed: before - layers.size() };
}

async function takeAway(
  { catalogue, layers }: Stores,
  stored: StoredImage,
  { untag, drop }: { readonly untag: readonly Reference[]; readonly drop: boolean },
): Promise<readonly Removed[]> {
  const untagged = untag.map((reference) => ({ untagged: familiarText(reference) }));
  await catalogue.commit({ untag, drop: drop ? [stored.id] : [] });
  const gone = await layers.collect(catalogue.used());
  const order = gone.map(({ chainId }) => chainId).sort((a, b) => stored.chain.indexOf(b) - stored.chain.indexOf(a));
  return [...untagged, ...(drop ? [{ deleted: stored.id }, ...order.map((deleted) => ({ deleted }))] : [])];
}

function checkId({ id }: StoredImage, single: boolean, { force, inUse, running }: RemoveOptions): void {
  const refuse = (how: string, why: string): never => {
    throw conflict(`conflict: unable to delete ${hexOf(id).slice(0, 12)} (${how}) - ${why}`);
  };
  const live = running?.(id) ?? null;
  if (live !== null) refuse('cannot be forced', `image is being used by running container ${shortName(live)}`);
  if (force) return;
  if (!single) refuse('must be forced', 'image is referenced in multiple repositories');
  const user = inUse(id);
  if (user !== null) refuse('must be forced', `image is being used by stopped container ${shortName(user)}`);
}

/** With a repository's last tag go its digests. */
function withDigests(given: Reference, references: readonly Reference[]): readonly Reference[] {
  const isGiven = (each: Reference): boolean =>
    given.digest === null
      ? fullText(each) === fullText(given)
      : each.digest === given.digest && fullName(each) === fullName(given);
  const here = references.filter((each) => fullName(each) === fullName(given));
  const isLast = given.digest === null && here.every((each) => each.digest !== null || isGiven(each));
  return here.filter((each) => isGiven(each) || (isLast && each.digest !== null));
}

/** At most one tag, and all digests of the same repository. */
function isSingle(references: readonly Reference[]): boolean {
  const tags = references.filter(({ digest }) => digest === null);
  return references.length <= 1 || (tags.length <= 1 && new Set(references.map(fullName)).size === 1);
}

/** The name that the text is; null when it is an id. */
function nameOf({ catalogue }: Stores, stored: StoredImage, text: string): Reference | null {
  if (isDigest(text) || /^[0-9a-f]{64}$/.test(text)) return null;
  const reference = withTag(parseReference(text));
  return catalogue.named(reference)?.id === stored.id ? reference : null;
}

const shortName = (container: string): string => (/^[0-9a-f]{64}$/.test(container) ? container.slice(0, 12) : container);
