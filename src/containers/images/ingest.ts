/** The one way into the image store: layers unpacked and verified in a workspace, then files on disk, then names, then one commit. */
import { link } from 'node:fs/promises';
import { join } from 'node:path';
import { MoorError } from '../../base/errors.ts';
import { newId } from '../../base/ids.ts';
import type { KeyedLock } from '../../base/keyed-lock.ts';
import type { Progress } from '../../contracts/containers.ts';
import type { Catalogue, CatalogueChange } from './catalogue.ts';
import { shortDigest } from './digest.ts';
import { fillsDisk } from './files.ts';
import type { LayerStore, Prepared } from './layers.ts';
import type { ImagePlan } from './plan.ts';
import { byteProgress } from './throttle.ts';

export interface Stores {
  readonly layers: LayerStore;
  readonly catalogue: Catalogue;
  /** Its key NAMES is held while names and layers change. */
  readonly lock: KeyedLock;
}

export const NAMES = 'names';

export interface IngestRequest {
  readonly plans: readonly ImagePlan[];
  readonly workspace: string;
  /** What progress lines about a layer say, and by which id it goes. */
  readonly lines: {
    readonly working: string;
    readonly id: (plan: ImagePlan, index: number) => string;
    readonly done?: string;
  };
  readonly progress: (line: Progress) => void;
  readonly change: CatalogueChange;
}

export const LOADING: IngestRequest['lines'] = {
  working: 'Loading layer',
  id: ({ stored }, index) => shortDigest(stored.diffIds[index] ?? stored.id),
};

/** All of the plans or nothing. */
export async function ingest(stores: Stores, request: IngestRequest, signal: AbortSignal): Promise<void> {
  const { layers } = stores;
  const { plans, change } = request;
  using _pins = layers.pin(plans.flatMap(({ stored }) => stored.chain));
  const prepared = new Map<string, Prepared>();
  for (const plan of plans) {
    for (const [index, chainId] of plan.stored.chain.entries()) {
      if (layers.has(chainId) || prepared.has(chainId)) continue;
      prepared.set(chainId, await prepare(layers, { ...request, plan, index }, signal));
    }
  }
  await commit(
    stores,
    { prepared: [...prepared.values()], change: { ...change, add: plans.map(({ stored }) => stored) } },
    signal,
  );
}

export interface CommitRequest {
  readonly prepared: readonly Prepared[];
  readonly change: CatalogueChange;
}

/** Publishes prepared layers and the images that need them. */
export async function commit(stores: Stores, { prepared, change }: CommitRequest, signal: AbortSignal): Promise<void> {
  const { layers, catalogue, lock } = stores;
  await catalogue.write(change.add ?? []);
  await layers.sync(signal);
  using _held = await lock.hold(NAMES);
  try {
    await layers.publish(prepared);
    await catalogue.commit(change);
  } finally {
    await layers.collect(catalogue.used());
  }
}

/** Removes layers that nothing needs any more. */
export async function collect({ layers, catalogue, lock }: Stores): Promise<void> {
  using _held = await lock.hold(NAMES);
  await layers.collect(catalogue.used());
}

type LayerRequest = IngestRequest & { readonly plan: ImagePlan; readonly index: number };

async function prepare(layers: LayerStore, request: LayerRequest, signal: AbortSignal): Promise<Prepared> {
  const { plan, index, lines, progress, workspace } = request;
  const { stored } = plan;
  const file = plan.layers[index];
  const diffId = stored.diffIds[index];
  if (!file || diffId === undefined) {
    throw new MoorError(
      'internal',
      `Cannot make image ${stored.id}: layer ${diffId ?? index} is neither here nor in what was received`,
    );
  }
  const id = lines.id(plan, index);
  // The same file may be a layer twice, of one image or of several; each keeps a name of its own for it.
  const blob = join(workspace, newId().slice(0, 16));
  await fillsDisk(() => link(file.path, blob));
  const onProgress = byteProgress(progress, { status: lines.working, id, total: file.size });
  const parent = stored.chain[index - 1] ?? null;
  const source = { blob, diffId, index, parent, onProgress, ...(file.blobId === undefined ? {} : { blobId: file.blobId }) };
  const made = await layers.prepare(source, workspace, signal);
  if (lines.done !== undefined) progress({ status: lines.done, id });
  return made;
}
