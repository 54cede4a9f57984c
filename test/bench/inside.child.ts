/**
 * The measuring process, in network, mount and PID namespaces of the run (main.ts makes them). Arguments: the options as JSON, the
 * folder for data, the name of the cgroup. Writes the rows to `rows.json` in the folder.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { PARTS, type Part as PartName, type BenchOptions, sizesOf } from './options.ts';
import { attach, parallel } from './parts/attach.ts';
import { cli } from './parts/cli.ts';
import { containers } from './parts/containers.ts';
import { dns } from './parts/dns.ts';
import { flush } from './parts/flush.ts';
import { hosts } from './parts/hosts.ts';
import { memory } from './parts/memory.ts';
import { manyNetworks, networks } from './parts/networks.ts';
import { overlay } from './parts/overlay.ts';
import { ports } from './parts/ports.ts';
import { published } from './parts/published.ts';
import { restart } from './parts/restart.ts';
import { scale } from './parts/scale.ts';
import type { Row } from './result.ts';
import { createWorld, type Part } from './world.ts';

const RUN: Readonly<Record<PartName, Part>> = {
  memory,
  networks,
  attach,
  parallel,
  scale,
  restart,
  'many-networks': manyNetworks,
  containers,
  dns,
  ports,
  published,
  flush,
  hosts,
  overlay,
  cli,
};

const [options = '{}', directory = '', cgroup = ''] = process.argv.slice(2);
const { parts, ...rest } = JSON.parse(options) as BenchOptions;
const started = performance.now();
const say = (text: string): void => {
  process.stderr.write(`bench: ${((performance.now() - started) / 1000).toFixed(0).padStart(3)} s  ${text}\n`);
};

{
  await using owner = new AsyncDisposableStack();
  for (const name of ['cni', 'netavark']) mkdirSync(`${directory}/${name}`);
  const world = createWorld({ sizes: sizesOf({ parts, ...rest }), directory, cgroup, say }, owner);
  const rows: Row[] = [];
  for (const name of PARTS) {
    if (!parts.includes(name)) continue;
    say(name);
    rows.push(...(await RUN[name](world)));
    writeFileSync(`${directory}/rows.json`, JSON.stringify(rows));
  }
  say('cleaning up');
}
// dockerd and what it started end with the PID namespace; nothing is to be waited for.
process.exit(0);
