/**
 * Who reaches published ports, and as whom: every cell of matrix-table.ts by real packets, on a host with no other firewall. docs/rules/reachability.md
 * is that table; GUIDE=write writes it anew.
 */
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { test } from 'node:test';
import { script } from './matrix-host.ts';
import { createMatrixLab } from './matrix-lab.ts';
import { reachabilityPage } from './matrix-page.ts';
import { baseOf, type Cell, expectedIn, type Outcome } from './matrix-table.ts';

const PAGE = resolve(import.meta.dirname, '../../docs/rules/reachability.md');

test('docs/rules/reachability.md says what is tested', () => {
  const page = reachabilityPage();
  if (process.env['GUIDE'] === 'write') writeFileSync(PAGE, page);
  assert.equal(readFileSync(PAGE, 'utf8'), page);
});

for (const bridgeNf of [false, true]) {
  test(`no other firewall, bridge-nf-call-iptables=${bridgeNf ? 1 : 0}`, async () => {
    await using lab = await createMatrixLab({ bridgeNf });
    const expect = expectedIn({ bridgeNf, firewall: 'none', allowed: false });
    assert.deepEqual(await lab.run(expect), []);
    assert.deepEqual((await lab.compare(expect)).wrong, []);
    if (bridgeNf) return;
    // The control: what is not answered reached the host, and it is our rules that stop it. Nobody repairs them while the daemon is away.
    await lab.daemon.stop();
    await script(
      lab.daemon,
      'nft flush chain inet moor outside; nft flush chain inet moor localhost; nft flush chain inet moor enter',
    );
    assert.deepEqual(await lab.run(withoutRules), []);
  });
}

test('no other firewall, bridge-nf-call-iptables=1, without the shortcut of the loopback', async () => {
  await using lab = await createMatrixLab({ bridgeNf: true, args: ['--loopback-shortcut=false'] });
  const expect = expectedIn({ bridgeNf: true, firewall: 'none', allowed: false, translated: true });
  assert.deepEqual(await lab.run(expect), []);
  assert.deepEqual((await lab.compare(expect)).wrong, []);
});

/** The kernel itself takes no packet for ::1 from a wire, nor one for 127.0.0.1 unless rules lead it elsewhere before. */
function withoutRules(cell: Cell): Outcome {
  const base = baseOf(cell);
  if (base !== 'silence' || cell.origin !== 'neighbour') return base === 'silence' ? 'kept' : base;
  return cell.family === 4 && (cell.bound === 'any' || cell.bound === 'localhost') ? 'kept' : 'silence';
}
