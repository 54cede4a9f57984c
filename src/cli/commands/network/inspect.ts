import { pathOf } from '../../api.ts';
import { defineCommand, flag, text } from '../../command.ts';
import { NETWORK_SHAPE } from '../../docker/network.ts';
import { inspectEach } from '../inspect.ts';
import { typed } from '../../template/shape.ts';

export const inspect = defineCommand({
  name: 'inspect',
  summary: 'Display detailed information on one or more networks',
  arguments: [{ name: 'NETWORK', many: true, completion: 'network' }],
  options: {
    format: text('FORMAT', "'json' or a Go template", { short: 'f' }),
    verbose: flag('Verbose output for diagnostics', { short: 'v' }),
  },
  examples: [
    { command: 'moor network inspect my_net', what: 'everything, as JSON' },
    {
      command: "moor network inspect -f '{{range .IPAM.Config}}{{println .Subnet .Gateway}}{{end}}' my_net",
      what: 'its subnets',
    },
    {
      command: "moor network inspect -f '{{range .Containers}}{{println .Name .IPv4Address}}{{end}}' my_net",
      what: 'who is on it',
    },
  ],
  run: (context, names, { format, verbose }) =>
    inspectEach(context, names, {
      format,
      get: (name) => context.api.get(pathOf('/networks', name), { verbose: verbose ? '1' : undefined }),
      typed: (value) => typed(NETWORK_SHAPE, value),
    }),
});
