/** `docker load`. */
import type { Readable } from 'node:stream';
import { invalid } from '../../base/errors.ts';
import type { Progress } from '../../contracts/containers.ts';
import { Archive } from './archive.ts';
import { DOCKER_MANIFEST, planDockerArchive } from './docker-archive.ts';
import { incoming } from './files.ts';
import { ingest, LOADING, type Stores } from './ingest.ts';
import { OCI_INDEX, planOciLayout } from './oci-layout.ts';
import type { ImagePlan } from './plan.ts';
import type { Limits } from './programs.ts';
import { familiarText, fullText } from './reference.ts';

export interface LoadOptions {
  readonly progress: (line: Progress) => void;
  readonly signal: AbortSignal;
}

/** @returns names, or the id of an image without one, in the order of the archive */
export async function load(
  stores: Stores & { readonly limits: Limits },
  source: Readable,
  options: LoadOptions,
): Promise<readonly string[]> {
  const { progress, signal } = options;
  await using workspace = await stores.layers.workspace();
  const archive = await Archive.read(incoming(source, signal), workspace.path, stores.limits);
  const plans = await plan(archive);
  const tag = plans.flatMap(({ stored, references }) => references.map((reference) => ({ reference, id: stored.id })));
  // The last of two images that claim one name has it.
  const names = new Map(tag.map((each) => [fullText(each.reference), each]));
  for (const { reference, id } of names.values()) {
    const old = stores.catalogue.named(reference);
    if (!old || old.id === id) continue;
    progress({
      status: `The image ${familiarText(reference)} already exists, renaming the old one with ID ${old.id} to empty string`,
    });
  }
  const change = { tag: [...names.values()] };
  await ingest(stores, { plans, workspace: workspace.path, lines: LOADING, progress, change }, signal);
  return plans.flatMap(({ stored, references }) => (references.length > 0 ? references.map(familiarText) : [stored.id]));
}

function plan(archive: Archive): Promise<readonly ImagePlan[]> {
  if (archive.has(DOCKER_MANIFEST)) return planDockerArchive(archive);
  if (archive.has(OCI_INDEX)) return planOciLayout(archive);
  throw invalid(`Cannot read archive: it has neither ${DOCKER_MANIFEST} (docker save) nor ${OCI_INDEX} (OCI image layout)`);
}
