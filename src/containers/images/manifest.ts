/** Manifests of images and lists of them: OCI image-spec (manifest.md, image-index.md) and Docker's schema 2, which differ in the media types only. */
import { arch } from 'node:os';
import { invalid, notFound, unsupported } from '../../base/errors.ts';
import { isObject, type JsonObject, objectOf, parseObject, textOf } from './json.ts';
import { isDigest } from './reference.ts';

export interface Descriptor {
  readonly digest: string;
  readonly mediaType: string;
  /** bytes */
  readonly size: number;
  readonly annotations: Readonly<Record<string, unknown>>;
  readonly platform: Platform | null;
}

export interface Platform {
  readonly os: string;
  readonly architecture: string;
  readonly variant: string;
}

export type Manifest =
  | { readonly type: 'image'; readonly config: Descriptor; readonly layers: readonly Descriptor[] }
  | { readonly type: 'list'; readonly manifests: readonly Descriptor[] };

/** @throws invalid when malformed, unsupported for Docker's schema 1 */
export function parseManifest(data: Buffer, what: string): Manifest {
  const root = parseObject(data, what);
  if (root.schemaVersion === 1) throw unsupported(`Cannot read ${what}: manifests of schema version 1 are not supported`);
  if (Array.isArray(root.manifests)) return { type: 'list', manifests: root.manifests.map((each) => descriptor(each, what)) };
  if (!isObject(root.config) || !Array.isArray(root.layers))
    throw invalid(`Cannot read ${what}: it is neither an image nor a list of images`);
  return { type: 'image', config: descriptor(root.config, what), layers: root.layers.map((each) => descriptor(each, what)) };
}

function descriptor(value: unknown, what: string): Descriptor {
  const { digest, mediaType, size, annotations, platform } = objectOf(value);
  if (typeof digest !== 'string' || !isDigest(digest))
    throw invalid(`Cannot read ${what}: ${JSON.stringify(digest)} is not a sha256 digest`);
  return {
    digest,
    mediaType: textOf(mediaType),
    size: typeof size === 'number' && Number.isSafeInteger(size) && size >= 0 ? size : 0,
    annotations: objectOf(annotations),
    platform: isObject(platform) ? platformOf(platform) : null,
  };
}

const platformOf = (platform: JsonObject): Platform => ({
  os: textOf(platform.os),
  architecture: textOf(platform.architecture),
  variant: textOf(platform.variant),
});

/** Go's names for Node's. */
const ARCHITECTURES: Readonly<Record<string, string>> = {
  x64: 'amd64',
  ia32: '386',
  arm64: 'arm64',
  arm: 'arm',
  ppc64: 'ppc64le',
  s390x: 's390x',
  riscv64: 'riscv64',
};
export const HOST_PLATFORM: Platform = { os: 'linux', architecture: ARCHITECTURES[arch()] ?? arch(), variant: '' };

/** `linux/arm64/v8`, `arm64`, or empty for this machine's. @throws invalid */
export function parsePlatform(text: string): Platform {
  if (text === '') return HOST_PLATFORM;
  const parts = text.toLowerCase().split('/');
  if (parts.length > 3 || !parts.every((part) => /^[a-z0-9_.-]+$/.test(part)))
    throw invalid(`"${text}" is an invalid component of platform`);
  const [first = '', second, third = ''] = parts;
  if (second === undefined) return first === 'linux' ? HOST_PLATFORM : { os: 'linux', architecture: first, variant: '' };
  return { os: first, architecture: second, variant: third };
}

export const showPlatform = ({ os, architecture, variant }: Platform): string =>
  `${os}/${architecture}${variant === '' ? '' : `/${variant}`}`;

/** @throws not-found when the list has none for this platform */
export function choose(manifests: readonly Descriptor[], wanted: Platform): Descriptor {
  const fitting = manifests.filter(({ platform }) => platform?.os === wanted.os && platform.architecture === wanted.architecture);
  const exact =
    fitting.find(({ platform }) => platform?.variant === wanted.variant) ?? (wanted.variant === '' ? fitting[0] : undefined);
  const only = manifests.length === 1 && manifests[0]?.platform === null ? manifests[0] : undefined;
  const chosen = exact ?? only;
  if (!chosen) throw notFound(`no matching manifest for ${showPlatform(wanted)} in the manifest list entries`);
  return chosen;
}
