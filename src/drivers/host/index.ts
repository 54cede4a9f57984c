/** The `host` driver, of which the network `host` is the only one: the host's own network stack; a sandbox on it has no namespace of its own. */
import type { NetworkDriver } from '../../contracts/driver.ts';
import { createBareDriver } from '../bare.ts';

export const createHostDriver = (): NetworkDriver => createBareDriver('host');
