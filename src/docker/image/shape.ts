/** Images in Docker's JSON. */
import type { Image } from '../../model/container.ts';

export interface ImageShapeOptions {
  /** Of the API version: older ones have fields that newer ones have dropped. */
  readonly minor: number;
}

/** `docker images`: one row. `containers` and `shared` (bytes) are -1 when nobody asked for them. */
export function imageSummary(
  image: Image,
  { minor, containers, shared }: ImageShapeOptions & { readonly containers: number; readonly shared: number },
): Readonly<Record<string, unknown>> {
  const nameless = minor < 43 && image.tags.length + image.digests.length === 0;
  return {
    Containers: containers,
    Created: secondsOf(image.created),
    Id: image.id,
    Labels: image.config.Labels ?? null,
    ParentId: '',
    RepoDigests: nameless ? ['<none>@<none>'] : image.digests,
    RepoTags: nameless ? ['<none>:<none>'] : image.tags,
    SharedSize: shared,
    Size: image.size,
    ...(minor < 44 ? { VirtualSize: image.size } : {}),
  };
}

/** Seconds since the epoch; 0 for an image that does not say when it was made. */
function secondsOf(created: string): number {
  const time = Date.parse(created);
  return Number.isNaN(time) ? 0 : Math.floor(time / 1000);
}

/** `docker image inspect` */
export function imageInspect(image: Image, { minor }: ImageShapeOptions): Readonly<Record<string, unknown>> {
  const { config } = image;
  return {
    Id: image.id,
    RepoTags: image.tags,
    RepoDigests: image.digests,
    Parent: '',
    Comment: image.comment,
    Created: image.created,
    DockerVersion: '',
    Author: image.author,
    Config: {
      Hostname: '',
      Domainname: '',
      User: '',
      AttachStdin: false,
      AttachStdout: false,
      AttachStderr: false,
      Tty: false,
      OpenStdin: false,
      StdinOnce: false,
      Env: null,
      Cmd: null,
      Image: '',
      Volumes: null,
      WorkingDir: '',
      Entrypoint: null,
      OnBuild: null,
      Labels: null,
      ...config,
    },
    Architecture: image.architecture,
    Os: image.os,
    Size: image.size,
    ...(minor < 44 ? { VirtualSize: image.size } : {}),
    GraphDriver: { Data: null, Name: 'overlay2' },
    RootFS: { Type: 'layers', Layers: image.layers },
    Metadata: { LastTagTime: '0001-01-01T00:00:00Z' },
  };
}

/** `docker history`: newest first. Only the newest has an id: the others are layers, which are no images of their own. */
export function imageHistory(image: Image): readonly Readonly<Record<string, unknown>>[] {
  let layer = 0;
  const steps = image.history.map((step) => ({
    Id: '<missing>',
    Created: secondsOf(step.created ?? ''),
    CreatedBy: step.created_by ?? '',
    Tags: null as readonly string[] | null,
    Size: step.empty_layer ? 0 : (image.layerSizes?.[layer++] ?? 0),
    Comment: step.comment ?? '',
  }));
  // An image without a history (`import` of others) has its layers all the same.
  const rest = image.layers.slice(layer).map((_, index) => ({
    Id: '<missing>',
    Created: secondsOf(image.created),
    CreatedBy: '',
    Tags: null as readonly string[] | null,
    Size: image.layerSizes?.[layer + index] ?? 0,
    Comment: '',
  }));
  const all = [...steps, ...rest].reverse();
  const [newest, ...older] = all;
  if (newest === undefined) return [];
  return [{ ...newest, Id: image.id, Tags: image.tags.length === 0 ? null : image.tags }, ...older];
}
