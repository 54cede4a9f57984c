/** Nothing to do: no network: a sandbox of its own with a loopback and nothing else. */
import type { Change } from '../../contracts/change.ts';
import type { JoinPlan } from '../../contracts/driver.ts';

export const planNetwork = (): readonly Change[] => [];

export const planJoin = (): JoinPlan => ({ changes: [], gateway4: null, gateway6: null });
