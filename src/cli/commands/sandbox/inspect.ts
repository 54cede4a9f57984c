import { pathOf } from '../../api.ts';
import { defineCommand, text } from '../../command.ts';
import { inspectEach } from '../inspect.ts';

export const inspect = defineCommand({
  name: 'inspect',
  summary: 'Display detailed information on one or more sandboxes',
  section: 'Sandboxes',
  arguments: [{ name: 'SANDBOX', many: true, completion: 'sandbox' }],
  options: { format: text('FORMAT', "'json' or a Go template", { short: 'f' }) },
  examples: [
    { command: 'moor inspect web', what: 'everything, as JSON' },
    { command: "moor inspect -f '{{range .endpoints}}{{println .interfaceName .ipv4 .mac}}{{end}}' web", what: 'its interfaces' },
  ],
  run: (context, names, { format }) =>
    inspectEach(context, names, {
      format,
      get: (name) => context.api.get(pathOf('/moor/sandboxes', name)),
      typed: (value) => value,
    }),
});
