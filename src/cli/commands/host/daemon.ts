import { defineCommand } from '../../command.ts';

export const daemon = defineCommand({
  name: 'daemon',
  summary: 'Run the daemon in the foreground',
  description:
    "Takes dockerd's words: --data-root, --exec-root, --pidfile, --bip, --default-address-pool, --mtu … (moor daemon --help).",
  section: 'Host',
  arguments: [{ name: 'OPTION', optional: true, many: true }],
  passThrough: 'all',
  options: {},
  examples: [{ command: 'moor daemon -H unix:///run/moor/moor.sock', what: 'at the usual place' }],
  run: ({ ports }, args) => ports.daemon(args),
});
