import type { CommandGroup } from '../../command.ts';
import { ls } from './list.ts';

export const node: CommandGroup = {
  type: 'group',
  name: 'node',
  summary: 'See the hosts of the cluster: ls',
  section: 'Host',
  commands: [ls],
};
