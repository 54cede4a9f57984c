import type { CommandGroup } from '../../command.ts';
import { add, rm } from './change.ts';
import { ls } from './list.ts';

export const port: CommandGroup = {
  type: 'group',
  name: 'port',
  summary: 'Manage published ports: ls, add, rm',
  section: 'Sandboxes',
  commands: [add, ls, rm],
};
