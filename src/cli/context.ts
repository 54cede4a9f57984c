/** What a command gets to work with. */
import type { Clock } from '../base/clock.ts';
import type { Api } from './api.ts';
import type { Ports, ProcessPort, Terminal } from './ports.ts';

export interface Context {
  readonly api: Api;
  readonly terminal: Terminal;
  readonly clock: Clock;
  readonly processes: ProcessPort;
  readonly ports: Ports;
  /** `--json`: one JSON document on standard output. */
  readonly json: boolean;
  /** `--dry-run`: say what would be done to the kernel, and do nothing. */
  readonly dryRun: boolean;
}
