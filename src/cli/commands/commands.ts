/** All commands, in the order in which help lists them within a section. */
import type { CommandNode } from '../command.ts';
import { completion } from './host/completion.ts';
import { daemon } from './host/daemon.ts';
import { events } from './host/events.ts';
import { reconcile, reset } from './host/repair.ts';
import { status } from './host/status.ts';
import { version } from './host/version.ts';
import { network } from './network/network.ts';
import { node } from './node/node.ts';
import { ports } from './port/exposure.ts';
import { port } from './port/port.ts';
import { adopt } from './sandbox/adopt.ts';
import { exec } from './sandbox/exec.ts';
import { inspect } from './sandbox/inspect.ts';
import { ls } from './sandbox/list.ts';
import { rm } from './sandbox/remove.ts';
import { run } from './sandbox/run.ts';

export const COMMANDS: readonly CommandNode[] = [
  network,
  run,
  exec,
  ls,
  inspect,
  rm,
  port,
  ports,
  adopt,
  status,
  node,
  events,
  reconcile,
  reset,
  daemon,
  version,
  completion,
];
