import type { CommandGroup } from '../../command.ts';
import { connect, disconnect } from './connect.ts';
import { create } from './create.ts';
import { inspect } from './inspect.ts';
import { ls } from './list.ts';
import { prune } from './prune.ts';
import { rm } from './remove.ts';

export const network: CommandGroup = {
  type: 'group',
  name: 'network',
  summary: 'Manage networks: create, ls, inspect, rm, connect, disconnect, prune',
  section: 'Networks',
  commands: [connect, create, disconnect, inspect, ls, prune, rm],
};
