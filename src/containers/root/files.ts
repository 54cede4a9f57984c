/** Containers' roots. */
import { unsupported } from '../../base/errors.ts';
import type { RootFiles } from '../../contracts/containers.ts';

export interface RootFilesOptions {
  /** Writable layers and mounts lie in `<dataRoot>/containers/<id>/`. */
  readonly dataRoot: string;
}

export function createRootFiles(_options: RootFilesOptions): RootFiles {
  throw unsupported('Cannot make roots of containers: not built yet');
}
