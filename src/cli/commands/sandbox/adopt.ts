import { invalid } from '../../../base/errors.ts';
import type { Sandbox, SandboxSpec } from '../../../model/sandbox.ts';
import type { Answer } from '../../api.ts';
import { defineCommand, integer, text } from '../../command.ts';
import { changeQuery, report, writeJson } from '../../output/report.ts';
import { SANDBOX_OPTIONS, type SandboxBody, sandboxSpec } from './options.ts';

export const adopt = defineCommand({
  name: 'adopt',
  summary: 'Make a sandbox of a network namespace that exists',
  section: 'Sandboxes',
  arguments: [],
  changes: true,
  options: {
    ...SANDBOX_OPTIONS,
    path: text('FILE', 'Namespace file, as ip netns makes them', { completion: 'file' }),
    pid: integer('PID', 'Process whose namespace it is'),
  },
  examples: [
    { command: 'moor adopt --name lab --path /run/netns/lab --network my_net', what: 'one that ip netns add made' },
    { command: 'moor adopt --name job --pid 4711 --network my_net', what: 'the one a process is in' },
  ],
  run: async (context, _, options) => {
    const { path, pid } = options;
    const spec: SandboxBody = { ...sandboxSpec(options), adopt: adopted(path, pid) };
    const answer = await context.api.post<Answer<Sandbox>>('/moor/sandboxes', spec, changeQuery(context));
    if (context.json) writeJson(context, answer);
    else report(context, answer, (sandbox) => `${sandbox.id}\n`);
  },
});

function adopted(path: string | undefined, pid: number | undefined): NonNullable<SandboxSpec['adopt']> {
  if (path !== undefined && pid === undefined) return { path };
  if (path === undefined && pid !== undefined) return { pid };
  throw invalid("'moor adopt' takes either --path or --pid");
}
