/** An image's configuration document (OCI image-spec, config.md; Docker's v1.2 image format is the same with more fields). */
import { invalid } from '../../base/errors.ts';
import type { ContainerConfig, HealthConfig, Image } from '../../model/container.ts';
import { chainIds, sha256 } from './digest.ts';
import { isObject, type JsonObject, listOf, objectOf, parseObject, textOf, textsOf } from './json.ts';
import { isDigest } from './reference.ts';

/** One image as it is kept. Its bytes are its identity: they are never written anew. */
export interface StoredImage {
  readonly id: string;
  readonly bytes: Buffer;
  readonly diffIds: readonly string[];
  /** Chain ids of the layers, base first. */
  readonly chain: readonly string[];
  readonly image: Omit<Image, 'tags' | 'digests' | 'size'>;
}

/** More layers than overlayfs can stack are refused at the door. OVL_MAX_STACK, fs/overlayfs/params.h. */
const LAYERS_MAX = 500;

/** @throws invalid when it is not the configuration of an image */
export function parseConfig(bytes: Buffer): StoredImage {
  const id = sha256(bytes);
  const what = `image configuration ${id}`;
  const root = parseObject(bytes, what);
  const diffIds = textsOf(objectOf(root.rootfs).diff_ids) ?? [];
  if (!isObject(root.rootfs) || root.rootfs.type !== 'layers' || !diffIds.every(isDigest)) {
    throw invalid(`Cannot read ${what}: rootfs has no list of layer digests`);
  }
  if (diffIds.length > LAYERS_MAX)
    throw invalid(`Cannot read ${what}: ${diffIds.length} layers, at most ${LAYERS_MAX} can be stacked`);
  const image: StoredImage['image'] = {
    id,
    created: textOf(root.created) || '0001-01-01T00:00:00Z',
    architecture: textOf(root.architecture),
    os: textOf(root.os),
    author: textOf(root.author),
    comment: textOf(root.comment),
    layers: diffIds,
    history: listOf(root.history).filter(isObject).map(historyOf),
    config: containerConfig(objectOf(root.config)),
  };
  return { id, bytes, diffIds, chain: chainIds(diffIds), image };
}

function historyOf(entry: JsonObject): Image['history'][number] {
  const { created, created_by: createdBy, comment } = entry;
  return {
    ...(typeof created === 'string' ? { created } : {}),
    ...(typeof createdBy === 'string' ? { created_by: createdBy } : {}),
    ...(typeof comment === 'string' ? { comment } : {}),
    ...(entry.empty_layer === true ? { empty_layer: true } : {}),
  };
}

/** What containers inherit. A field of the wrong type counts as absent; what we do not act on is left out. */
function containerConfig(config: JsonObject): Partial<ContainerConfig> {
  const env = textsOf(config.Env);
  const cmd = textsOf(config.Cmd);
  const entrypoint = textsOf(config.Entrypoint);
  return {
    ...texts(config, ['User', 'WorkingDir', 'StopSignal', 'Hostname', 'Domainname'] as const),
    ...(env ? { Env: env } : {}),
    ...(cmd ? { Cmd: cmd } : {}),
    ...(entrypoint ? { Entrypoint: entrypoint } : {}),
    ...(isObject(config.Labels) ? { Labels: stringMap(config.Labels) } : {}),
    ...(isObject(config.Volumes) ? { Volumes: keysOf(config.Volumes) } : {}),
    ...(isObject(config.ExposedPorts) ? { ExposedPorts: keysOf(config.ExposedPorts) } : {}),
    ...(isObject(config.Healthcheck) ? { Healthcheck: healthOf(config.Healthcheck) } : {}),
  };
}

function texts<K extends string>(config: JsonObject, keys: readonly K[]): { readonly [P in K]?: string } {
  const found: { [P in K]?: string } = {};
  for (const key of keys) {
    const value = config[key];
    if (typeof value === 'string' && value !== '') found[key] = value;
  }
  return found;
}

function healthOf(health: JsonObject): HealthConfig {
  const test = textsOf(health.Test);
  const numbers: { [P in 'Interval' | 'Timeout' | 'StartPeriod' | 'StartInterval' | 'Retries']?: number } = {};
  for (const key of ['Interval', 'Timeout', 'StartPeriod', 'StartInterval', 'Retries'] as const) {
    const value = health[key];
    if (typeof value === 'number' && value >= 0) numbers[key] = value;
  }
  return { ...(test ? { Test: test } : {}), ...numbers };
}

const stringMap = (map: JsonObject): Readonly<Record<string, string>> =>
  Object.fromEntries(Object.entries(map).filter((pair): pair is [string, string] => typeof pair[1] === 'string'));

const keysOf = (map: JsonObject): Readonly<Record<string, object>> =>
  Object.fromEntries(Object.keys(map).map((key) => [key, {}]));
