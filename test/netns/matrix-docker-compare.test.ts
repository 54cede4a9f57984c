// test-timeout: 240 s
/**
 * The cells of the matrix on a real Docker Engine (20.10, its default settings, IPv4), alone and beside firewalls: that what we call
 * Docker's is so.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { TestDaemon } from '../support/daemon.ts';
import { haveFirewalls } from '../support/firewalls.ts';
import { NO_DOCKER, startDocker } from './matrix-docker.ts';
import { forwardDrop, ufw } from './matrix-firewalls.ts';
import { script, startHost, wanted } from './matrix-host.ts';
import { createQuestions, type Inhabitant } from './matrix-questions.ts';
import { BOUNDS, type Cell, inDocker, type Outcome, type Setting } from './matrix-table.ts';

/** Docker starts a process for each port and address. */
const asked = ({ family, shape }: Cell): boolean => family === 4 && shape !== 'shifted';

const BESIDE: readonly {
  readonly firewall: Setting['firewall'];
  readonly bridgeNf: 0 | 1;
  readonly start: (host: TestDaemon, files: AsyncDisposableStack) => Promise<void>;
}[] = [
  { firewall: 'none', bridgeNf: 0, start: async () => {} },
  { firewall: 'ufw', bridgeNf: 1, start: ufw },
  { firewall: 'forward', bridgeNf: 1, start: forwardDrop },
];

for (const { firewall, bridgeNf, start } of BESIDE) {
  const skip = NO_DOCKER || (firewall === 'ufw' && !haveFirewalls ? 'no ufw: tools/peers.sh fetches it' : false);
  test(`Docker Engine is as we say, firewall: ${firewall}`, { skip }, async () => {
    await using files = new AsyncDisposableStack();
    await using host = await startHost();
    await start(host, files);
    await script(host, `sysctl -qw net.bridge.bridge-nf-call-iptables=${bridgeNf}`);
    const docker = await startDocker(host);
    for (const [n, name] of ['front', 'back'].entries())
      await docker.cli('network', 'create', '--subnet', `10.${n + 1}.0.0/24`, name);
    const container = async (name: string, network: string, ports: readonly string[] = []): Promise<Inhabitant> => {
      const { place, address } = await docker.container(name, '--network', network, ...ports.flatMap((port) => ['-p', port]));
      return { place, address: { 4: address } };
    };
    await using questions = await createQuestions(host, {
      itself: await container('web', 'front', wanted(BOUNDS, ['single', 'range'], [4])),
      same: await container('peer', 'front'),
      other: await container('stranger', 'back'),
    });
    assert.deepEqual(await questions.run((cell) => (asked(cell) ? beside(cell, firewall) : null)), []);
  });
}

function beside(cell: Cell, firewall: Setting['firewall']): Outcome {
  const { origin, target } = cell;
  const outcome = inDocker(cell);
  const byHost = target !== 'sandbox' && (origin === 'other' || origin === 'same' || origin === 'itself');
  switch (firewall) {
    // Its containers ask a process on the host, and ufw judges what comes in for the host. What Docker forwards has passed before.
    case 'ufw':
      return byHost || (origin === 'remote' && outcome === 'refused') ? 'silence' : outcome;
    // What is forwarded is dropped, frames inside a bridge among it; what the process gets is not forwarded.
    case 'forward':
      return outcome === 'kept' ? 'silence' : outcome;
    case 'none':
    case 'Docker':
      return outcome;
  }
}
