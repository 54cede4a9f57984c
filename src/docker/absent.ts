/** Containers where there is no service of them: there are none, and none can be made. */
import { notFound, unsupported } from '../base/errors.ts';
import type { DockerDeps } from './route.ts';

type Absent = Pick<DockerDeps, 'containers' | 'images' | 'rootFiles' | 'takeSocket'>;

export function noContainers(): Absent {
  const refuse = (): never => {
    throw unsupported('running containers from images is not supported by Moorline yet');
  };
  const missing =
    (what: string) =>
    (reference: string): never => {
      throw notFound(`No such ${what}: ${reference}`);
    };
  const refusing = (known: object): object =>
    new Proxy(known, { get: (target, name) => (name in target ? (target as Record<PropertyKey, unknown>)[name] : refuse) });
  const none = (): readonly never[] => [];
  const volumes = refusing({ list: none });
  return {
    containers: refusing({ list: none, get: missing('container'), execGet: missing('exec instance'), volumes }),
    images: refusing({ list: none, get: missing('image') }),
    rootFiles: refusing({}),
    takeSocket: refuse,
  } as Absent;
}
