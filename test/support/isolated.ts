/**
 * Imported by every test that touches the kernel, also by way of others (tools/testing/isolated.test.ts): such a test does not even load outside the
 * namespaces that tools/testing/isolate.sh makes, where it would change the machine's own links, routes, rules and files.
 */
import { existsSync } from 'node:fs';

/** Made by isolate.sh in a /run of the test's own. */
const MARK = '/run/moor-isolated';

if (!existsSync(MARK)) throw new Error('not in namespaces of its own: run this by tools/test.ts (npm run kernel -- WORD)');
