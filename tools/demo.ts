/** `make demo`: one host, two networks, some sandboxes (demo/host.child.ts), and the proof that nothing is left. Needs root. */
import { demonstrate } from './demo/outside.ts';

await demonstrate('demo', 'host.child.ts');
