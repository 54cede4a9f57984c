/** `docker save` archives: `manifest.json` names for each image a configuration file, layer tars and tags (Docker image spec v1.2). */
import { invalid } from '../../base/errors.ts';
import type { Archive } from './archive.ts';
import { parseConfig } from './config.ts';
import { sha256 } from './digest.ts';
import { isObject, parseJson, textOf, textsOf } from './json.ts';
import type { ImagePlan } from './plan.ts';
import { parseReference, withTag } from './reference.ts';

export const DOCKER_MANIFEST = 'manifest.json';

/** @throws invalid when the archive contradicts itself */
export async function planDockerArchive(archive: Archive): Promise<readonly ImagePlan[]> {
  const manifest = parseJson(await archive.document(DOCKER_MANIFEST), DOCKER_MANIFEST);
  if (!Array.isArray(manifest) || !manifest.every(isObject))
    throw invalid(`Cannot read ${DOCKER_MANIFEST}: it is not a list of images`);
  const plans: ImagePlan[] = [];
  for (const item of manifest) {
    const name = textOf(item.Config);
    const layers = textsOf(item.Layers ?? []);
    const tags = textsOf(item.RepoTags ?? []);
    if (name === '' || !layers || !tags)
      throw invalid(`Cannot read ${DOCKER_MANIFEST}: an image lacks Config, Layers or RepoTags`);
    const bytes = await archive.document(name);
    checkName(name, bytes);
    const stored = parseConfig(bytes);
    if (layers.length !== stored.diffIds.length) {
      throw invalid(`invalid manifest, layers length mismatch: expected ${stored.diffIds.length}, got ${layers.length}`);
    }
    const references = tags.map((tag) => withTag(parseReference(tag)));
    plans.push({ stored, references, layers: layers.map((layer) => archive.file(layer)) });
  }
  return plans;
}

/** `<hex>.json` and `blobs/sha256/<hex>` say what the content has to be. */
function checkName(name: string, bytes: Buffer): void {
  const hex = /(?:^|\/)([0-9a-f]{64})(?:\.json)?$/.exec(name)?.[1];
  const actual = sha256(bytes);
  if (hex !== undefined && actual !== `sha256:${hex}`) {
    throw invalid(`Cannot use image configuration sha256:${hex}: wrong digest: its content is ${actual}`);
  }
}
