/** `docker import`: a root file system becomes an image of one layer. */
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import type { Clock } from '../../base/clock.ts';
import { invalid } from '../../base/errors.ts';
import { applyChanges, emptySettings } from './changes.ts';
import { parseConfig } from './config.ts';
import { incoming, writeChunks } from './files.ts';
import { commit, type Stores } from './ingest.ts';
import { HOST_PLATFORM } from './manifest.ts';
import { parseReference, withTag } from './reference.ts';

export interface ImportOptions {
  readonly reference?: string;
  readonly message?: string;
  readonly changes?: readonly string[];
  readonly signal: AbortSignal;
}

/** @returns the id. @throws invalid for a hostile tar or an unknown change word, before anything is kept */
export async function importRoot(
  stores: Stores & { readonly clock: Clock },
  tar: Readable,
  options: ImportOptions,
): Promise<string> {
  const { message, changes = [], signal } = options;
  const reference = options.reference ? withTag(parseReference(options.reference)) : null;
  if (reference !== null && reference.digest !== null) throw invalid('cannot import digest reference');
  const settings = applyChanges(emptySettings(), changes);
  await using workspace = await stores.layers.workspace();
  const blob = join(workspace.path, 'import');
  await writeChunks(blob, incoming(tar, signal));
  const layer = await stores.layers.prepare({ blob, diffId: null, index: 0, parent: null }, workspace.path, signal);
  using _pin = stores.layers.pin([layer.chainId]);
  const created = new Date(stores.clock.now()).toISOString();
  const comment = message || 'Imported from -';
  const { architecture, os } = HOST_PLATFORM;
  const document = {
    architecture,
    comment,
    config: settings,
    created,
    history: [{ created, comment }],
    os,
    rootfs: { type: 'layers', diff_ids: [layer.diffId] },
  };
  const stored = parseConfig(Buffer.from(JSON.stringify(document)));
  const tag = reference === null ? [] : [{ reference, id: stored.id }];
  await commit(stores, { prepared: [layer], change: { add: [stored], tag } }, signal);
  return stored.id;
}
