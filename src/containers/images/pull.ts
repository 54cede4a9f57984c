/**
 * `docker pull`, through skopeo. The manifest comes first, for it says what is needed; layers that are here are not fetched again. Whatever skopeo
 * brings then goes the way of every archive: nothing is believed before its digest is right.
 */
import { watch } from 'node:fs';
import { mkdir, readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { invalid } from '../../base/errors.ts';
import type { Progress, RegistryAuth } from '../../contracts/containers.ts';
import type { Image } from '../../model/container.ts';
import { parseConfig } from './config.ts';
import { hexOf, sha256, shortDigest } from './digest.ts';
import { fillsDisk } from './files.ts';
import { ingest, type Stores } from './ingest.ts';
import { choose, type Manifest, parseManifest, parsePlatform, type Platform } from './manifest.ts';
import type { ImagePlan, LayerFile } from './plan.ts';
import type { Limits } from './programs.ts';
import { familiarText, parseReference, withTag } from './reference.ts';
import { Skopeo } from './skopeo.ts';

export interface PullOptions {
  readonly auth?: RegistryAuth;
  readonly platform?: string;
  readonly progress: (line: Progress) => void;
  readonly signal: AbortSignal;
}

export interface PullPorts extends Stores {
  readonly skopeo: string;
  readonly limits: Limits;
  readonly isInsecure: (domain: string) => boolean;
}

/** @throws not-found, unavailable with Docker's texts; invalid for a registry that serves something else than it says */
export async function pull(ports: PullPorts, text: string, options: PullOptions): Promise<Image> {
  const { catalogue, layers, isInsecure, skopeo: program } = ports;
  const { auth, progress, signal } = options;
  const reference = withTag(parseReference(text));
  const platform = parsePlatform(options.platform ?? '');
  await using workspace = await layers.workspace();
  const access = {
    skopeo: program,
    reference,
    workspace: workspace.path,
    insecure: isInsecure(reference.domain),
    ...(auth ? { auth } : {}),
  };
  const skopeo = await Skopeo.open(access, signal);
  const served = await readManifest(skopeo, ports.limits, { reference: reference.digest, platform });
  progress({ id: reference.digest ?? reference.tag ?? '', status: `Pulling from ${reference.path}` });
  const stored = parseConfig(verified(await skopeo.config(served.imageDigest), served.manifest.config.digest));
  const blobs = served.manifest.layers;
  if (blobs.length !== stored.diffIds.length) {
    throw invalid(`invalid manifest, layers length mismatch: expected ${stored.diffIds.length}, got ${blobs.length}`);
  }
  const old = catalogue.named(reference);
  using _pins = layers.pin(stored.chain);
  const missing = blobs.filter((_, index) => !layers.has(stored.chain[index] ?? ''));
  for (const [index, { digest }] of blobs.entries()) {
    progress({ id: shortDigest(digest), status: layers.has(stored.chain[index] ?? '') ? 'Already exists' : 'Pulling fs layer' });
  }
  const wanted = [...new Map(missing.map((blob) => [blob.digest, blob])).values()];
  const request = { imageDigest: served.imageDigest, wanted, all: missing.length === blobs.length, workspace: workspace.path };
  const files = await fetchBlobs(skopeo, request, progress);
  const plan: ImagePlan = { stored, references: [reference], layers: blobs.map(({ digest }) => files.get(digest) ?? null) };
  const byDigest = { ...reference, tag: null, digest: served.digest };
  const tag = [reference, byDigest].map((each) => ({ reference: each.digest === null ? each : byDigest, id: stored.id }));
  const lines = {
    working: 'Extracting',
    done: 'Pull complete',
    id: (_: ImagePlan, index: number) => shortDigest(blobs[index]?.digest ?? ''),
  };
  await ingest(ports, { plans: [plan], workspace: workspace.path, lines, progress, change: { tag } }, signal);
  progress({ status: `Digest: ${served.digest}` });
  const isNew = old?.id !== stored.id;
  progress({ status: `Status: ${isNew ? 'Downloaded newer image' : 'Image is up to date'} for ${familiarText(reference)}` });
  return catalogue.show(stored);
}

interface Served {
  /** Of what the reference names: a list, or the image itself. Docker shows this one. */
  readonly digest: string;
  readonly imageDigest: string;
  readonly manifest: Manifest & { readonly type: 'image' };
}

async function readManifest(
  skopeo: Skopeo,
  limits: Limits,
  { reference, platform }: { readonly reference: string | null; readonly platform: Platform },
): Promise<Served> {
  const raw = limited(await skopeo.manifest(null), limits);
  const digest = sha256(reference === null ? raw : verified(raw, reference));
  const first = parseManifest(raw, `manifest ${digest}`);
  if (first.type === 'image') return { digest, imageDigest: digest, manifest: first };
  const imageDigest = choose(first.manifests, platform).digest;
  const manifest = parseManifest(
    verified(limited(await skopeo.manifest(imageDigest), limits), imageDigest),
    `manifest ${imageDigest}`,
  );
  if (manifest.type === 'list') throw invalid(`Cannot read manifest ${imageDigest}: a list within a list`);
  return { digest, imageDigest, manifest };
}

function limited(data: Buffer, { document }: Limits): Buffer {
  if (data.length > document) throw invalid(`Cannot read manifest: it has ${data.length} bytes, at most ${document} are read`);
  return data;
}

function verified(data: Buffer, digest: string): Buffer {
  const actual = sha256(data);
  if (actual !== digest) throw invalid(`Cannot use ${digest}: wrong digest: the registry served ${actual}`);
  return data;
}

interface FetchRequest {
  readonly imageDigest: string;
  readonly wanted: readonly { readonly digest: string; readonly size: number }[];
  /** Is that all there is? */
  readonly all: boolean;
  readonly workspace: string;
}

/** @returns digest -> file, for what was wanted */
async function fetchBlobs(
  skopeo: Skopeo,
  request: FetchRequest,
  progress: (line: Progress) => void,
): Promise<ReadonlyMap<string, LayerFile>> {
  const { imageDigest, wanted, all, workspace } = request;
  if (wanted.length === 0) return new Map();
  const folder = join(workspace, 'blobs');
  await fillsDisk(() => mkdir(folder, { mode: 0o700 }));
  const left = new Map(wanted.map(({ digest }) => [hexOf(digest), digest]));
  const done = (name: string): void => {
    const digest = left.get(name);
    if (digest === undefined || !left.delete(name)) return;
    progress({ id: shortDigest(digest), status: 'Download complete' });
  };
  // skopeo writes under another name and renames when a blob is whole.
  const watcher = watch(folder, { recursive: true }, (_, name) => name !== null && done(name.slice(name.lastIndexOf('/') + 1)));
  try {
    if (all) await skopeo.copy(imageDigest, folder);
    else
      await skopeo.layers(
        imageDigest,
        wanted.map(({ digest }) => digest),
        folder,
      );
  } finally {
    watcher.close();
  }
  const files = new Map<string, LayerFile>();
  for (const name of await readdir(folder, { recursive: true })) {
    const digest = `sha256:${name.slice(name.lastIndexOf('/') + 1)}`;
    if (!wanted.some((blob) => blob.digest === digest)) continue;
    const path = join(folder, name);
    files.set(digest, { path, size: (await stat(path)).size, blobId: digest });
    done(hexOf(digest));
  }
  const lost = wanted.find(({ digest }) => !files.has(digest));
  if (lost) throw invalid(`Cannot pull: the registry did not serve blob ${lost.digest}`);
  return files;
}
