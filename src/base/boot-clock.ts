import { uptime } from 'node:os';
import type { SteadyClock } from './clock.ts';

/** Since the machine started, in steps of 10 ms. Unlike `performance.now()` it goes on while the machine sleeps (proc_uptime(5)). */
export const bootClock: SteadyClock = { elapsed: () => uptime() * 1000 };
