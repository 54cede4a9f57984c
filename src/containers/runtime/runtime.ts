/** Containers by conmon and an OCI runtime. */
import type { Logger } from '../../base/clock.ts';
import { unsupported } from '../../base/errors.ts';
import type { Runtime } from '../../contracts/containers.ts';

export interface RuntimeOptions {
  /** Logs lie in `<dataRoot>/containers/<id>/`. */
  readonly dataRoot: string;
  /** Everything that a reboot may forget: `<execRoot>/containers/<id>/`. */
  readonly execRoot: string;
  readonly logger: Logger;
}

export function createRuntime(_options: RuntimeOptions): Promise<Runtime> {
  throw unsupported('Cannot run containers: not built yet');
}
