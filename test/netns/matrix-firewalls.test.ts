// test-timeout: 240 s
/**
 * The matrix beside a firewall that drops what is forwarded: ufw, and a hand-written chain of nftables. First as they are, then with
 * the remedy that the daemon tells. In both `moor ports` says what packets do.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { haveFirewalls, shell } from '../support/firewalls.ts';
import { enter, forwardDrop, ufw } from './matrix-firewalls.ts';
import { script } from './matrix-host.ts';
import { createMatrixLab, type MatrixLab } from './matrix-lab.ts';
import type { Expect } from './matrix-questions.ts';
import { type Cell, expectedIn, type Setting } from './matrix-table.ts';

/** Asks for everything but some cells, and for what is said of it. */
async function agrees(lab: MatrixLab, setting: Setting, but: (cell: Cell) => boolean = () => false): Promise<void> {
  const expect: Expect = (cell) => (but(cell) ? null : expectedIn(setting)(cell));
  assert.deepEqual(await lab.run(expect), []);
  const { wrong, compared } = await lab.compare(expect);
  assert.deepEqual(wrong, []);
  for (const origin of ['remote', 'other', 'same', 'own', 'localhost', 'neighbour']) {
    const cells = [...compared].filter((name) => name.includes(`: ${origin} asks `));
    assert.ok(cells.length >= 12, `${origin}: ${cells.length} cells compared`);
  }
}

/** Commands that `moor ports` tells for packets that are dropped. */
async function remedies(lab: MatrixLab): Promise<readonly string[]> {
  const { ports } = await lab.report();
  return [...new Set(ports.flatMap(({ reach }) => reach.map(({ remedy }) => remedy)).filter((text) => text !== ''))];
}

/** Frames, which rules for single ports are not enough for. */
const insideBridge = ({ origin, target }: Cell): boolean => origin === 'same' && target === 'sandbox';

for (const bridgeNf of [false, true]) {
  describe(`bridge-nf-call-iptables=${bridgeNf ? 1 : 0}`, () => {
    test('ufw', { skip: haveFirewalls ? false : 'no ufw: tools/peers.sh fetches it' }, async () => {
      await using files = new AsyncDisposableStack();
      await using lab = await createMatrixLab({
        bridgeNf,
        prepare: (daemon) => ufw(daemon, files),
      });
      // It judges what the host sends, too: localhost is translated beside it (docs/adr/0012).
      await agrees(lab, { bridgeNf, firewall: 'ufw', translated: true, allowed: false });
      const told = await remedies(lab);
      assert.ok(told.length > 0);
      for (const command of told) assert.match(command, /^ufw route allow proto (tcp|udp) from any to any port \d+(:\d+)?$/);
      await shell(told.join('\n'), enter(lab.daemon));
      const allowed = { bridgeNf, firewall: 'ufw', translated: true, allowed: true } as const;
      await agrees(lab, allowed, insideBridge);
      if (bridgeNf) {
        const { warnings } = (await lab.daemon.request('GET', '/moor/status')).json() as { readonly warnings: readonly string[] };
        assert.match(warnings.join('\n'), /also inside one network .* ufw default allow routed/);
        await shell('ufw default allow routed', enter(lab.daemon));
      }
      await agrees(lab, allowed);
    });

    test('a chain of nftables whose policy is drop', async () => {
      await using lab = await createMatrixLab({ bridgeNf, prepare: forwardDrop });
      await agrees(lab, { bridgeNf, firewall: 'forward', allowed: false });
      const told = await remedies(lab);
      assert.equal(told.length, 1, told.join('\n'));
      const command = /^nft insert rule inet mine forward '[^']+ accept'/.exec(told[0] ?? '');
      assert.ok(command, told.join('\n'));
      await script(lab.daemon, command[0]);
      await agrees(lab, { bridgeNf, firewall: 'forward', allowed: true });
    });
  });
}
