/** Nothing to do: the host's own network stack; a sandbox on it has no namespace of its own. */
import type { Change } from '../../contracts/change.ts';
import type { JoinPlan } from '../../contracts/driver.ts';

export const planNetwork = (): readonly Change[] => [];

export const planJoin = (): JoinPlan => ({ changes: [], gateway4: null, gateway6: null });
