/**
 * `make demo-hosts`: three hosts on one segment, an etcd, and sandboxes that reach each other by each backend (demo/hosts.child.ts), and
 * the proof that nothing is left. Needs root, and `make peers` for etcd.
 */
import { demonstrate } from './demo/outside.ts';

await demonstrate('demo-hosts', 'hosts.child.ts');
