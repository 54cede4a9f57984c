/** The `null` driver, of which the network `none` is the only one: no network: a sandbox of its own with a loopback and nothing else. */
import type { NetworkDriver } from '../../contracts/driver.ts';
import { createBareDriver } from '../bare.ts';

export const createNullDriver = (): NetworkDriver => createBareDriver('null');
