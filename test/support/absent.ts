/** Containers for tests of the door that are about networks and sandboxes alone: there are none, and none can be made. */
import { notFound, unsupported } from '../../src/base/errors.ts';
import type { DockerDeps } from '../../src/docker/route.ts';

type Absent = Pick<DockerDeps, 'containers' | 'images' | 'rootFiles' | 'takeSocket'>;

export function noContainers(): Absent {
  const refuse = (): never => {
    throw unsupported('there is no service of containers in this test');
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
