/** OCI image layouts in a tar (image-layout.md): `index.json` names manifests, everything lies in `blobs/` by its digest. */
import { invalid } from '../../base/errors.ts';
import { type Archive, blobName } from './archive.ts';
import { parseConfig } from './config.ts';
import { choose, type Descriptor, HOST_PLATFORM, parseManifest } from './manifest.ts';
import type { ImagePlan } from './plan.ts';
import { parseReference, type Reference, withTag } from './reference.ts';

export const OCI_INDEX = 'index.json';
/** Lists within lists. */
const DEPTH_MAX = 4;

/** @throws invalid when the archive contradicts itself */
export async function planOciLayout(archive: Archive): Promise<readonly ImagePlan[]> {
  const index = parseManifest(await archive.document(OCI_INDEX), OCI_INDEX);
  if (index.type !== 'list') throw invalid(`Cannot read ${OCI_INDEX}: it is not a list of manifests`);
  const plans: ImagePlan[] = [];
  for (const each of index.manifests) plans.push(await planManifest(archive, each));
  return plans;
}

async function planManifest(archive: Archive, descriptor: Descriptor, depth = 0): Promise<ImagePlan> {
  const manifest = parseManifest(await archive.blob(descriptor.digest), `manifest ${descriptor.digest}`);
  if (manifest.type === 'list') {
    if (depth >= DEPTH_MAX)
      throw invalid(`Cannot read manifest ${descriptor.digest}: more than ${DEPTH_MAX} lists within each other`);
    const inner = await planManifest(archive, choose(manifest.manifests, HOST_PLATFORM), depth + 1);
    return { ...inner, references: namesOf(descriptor) };
  }
  const stored = parseConfig(await archive.blob(manifest.config.digest));
  const { layers } = manifest;
  if (layers.length !== stored.diffIds.length) {
    throw invalid(`invalid manifest, layers length mismatch: expected ${stored.diffIds.length}, got ${layers.length}`);
  }
  return {
    stored,
    references: namesOf(descriptor),
    layers: layers.map(({ digest }) => ({ ...archive.file(blobName(digest)), blobId: digest })),
  };
}

/** containerd writes the whole name in an annotation of its own; `ref.name` may be a bare tag, which names nothing. */
function namesOf({ annotations }: Descriptor): readonly Reference[] {
  const whole = annotations['io.containerd.image.name'];
  const name = annotations['org.opencontainers.image.ref.name'];
  const text = typeof whole === 'string' ? whole : typeof name === 'string' && /[:/]/.test(name) ? name : null;
  return text === null ? [] : [withTag(parseReference(text))];
}
