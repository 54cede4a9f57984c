// test-timeout: 420 s
/** What the trace says of random rulesets is what packets do. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { PortProtocol } from '../../src/model/ports.ts';
import { createRandom } from '../support/random.ts';
import { type ExposureLab, createExposureLab, foretold, nftFile, PATIENCE, PORT, predict, shown } from './exposure-lab.ts';
import { iptablesRules, nftRules } from './exposure-rules.ts';
import { at, HERE } from './packets.ts';

/** The same rulesets in every run, unless told otherwise: what fails here fails again. */
const SEED = Number(process.env['MOOR_TEST_SEED'] ?? 20261130);
const NFT_RULESETS = Number(process.env['MOOR_TEST_RULESETS'] ?? 30);
const XT_RULESETS = Math.ceil(NFT_RULESETS / 3);
/** Milliseconds to wait for what is not to come: all of it is on one machine. */
const SILENCE = 500;

/** Asks from everywhere at once, and compares. @returns how many had which fate */
async function compare(lab: ExposureLab, rules: string): Promise<Readonly<Record<string, number>>> {
  const counts: Record<string, number> = {};
  const tracer = lab.tracer();
  const protocols: readonly PortProtocol[] = ['tcp', 'udp'];
  const asked = protocols.flatMap((protocol) =>
    lab.clients.flatMap((client) => {
      const outcomes = predict(tracer, client, protocol);
      return client.sources.map((source) => ({ client, protocol, source, outcomes, said: foretold(outcomes, source) }));
    }),
  );
  await Promise.all(
    asked.map(async ({ client, protocol, source, outcomes, said }) => {
      const patience = said === 'reaches' ? PATIENCE : SILENCE;
      const request = { source, address: client.asks, protocol, port: PORT };
      const fate = said === null || said === 'local' ? (said ?? 'undecided') : await lab.ask(client, request, patience);
      counts[fate] = (counts[fate] ?? 0) + 1;
      // A refusal is a packet of this host, which other rules may drop.
      const same = fate === (said ?? 'undecided') || (said === 'rejected' && fate === 'silent');
      assert.ok(same, `${protocol} from ${client.name} (${source}): ${fate}, foretold ${shown(outcomes)}\n${rules}`);
    }),
  );
  return counts;
}

function enough(counts: readonly Readonly<Record<string, number>>[]): void {
  const sum = (fate: string): number => counts.reduce((total, each) => total + (each[fate] ?? 0), 0);
  for (const fate of ['reaches', 'silent', 'rejected']) assert.ok(sum(fate) > 10, `${fate}: ${sum(fate)} times only`);
  assert.ok(sum('undecided') < (sum('reaches') + sum('silent')) / 10, `undecided: ${sum('undecided')} times`);
}

test('rules of nft', async () => {
  await using lab = await createExposureLab();
  const counts: Readonly<Record<string, number>>[] = [];
  for (let seed = SEED; counts.length < NFT_RULESETS; seed++) {
    const rules = nftRules(createRandom(seed));
    // Some say what cannot be, such as an address of IPv4 in a packet of IPv6: nft takes none of such a file.
    const loaded = await nftFile(rules).then(
      () => true,
      () => false,
    );
    if (!loaded) continue;
    counts.push(await compare(lab, `ruleset ${seed}: ${rules}`));
    await nftFile('delete table inet anything');
  }
  enough(counts);
});

test('rules of iptables', async () => {
  await using lab = await createExposureLab();
  const counts: Readonly<Record<string, number>>[] = [];
  for (let n = 0; n < XT_RULESETS; n++) {
    const lines = iptablesRules(createRandom(SEED + n));
    for (const line of lines) await at(HERE, 'iptables', ...line.split(' '));
    counts.push(await compare(lab, `ruleset ${SEED + n}:\n${lines.join('\n')}`));
    for (const table of ['filter', 'mangle', 'raw']) {
      for (const family of ['ip', 'ip6']) await at(HERE, 'sh', '-c', `nft delete table ${family} ${table} 2>/dev/null || true`);
    }
  }
  enough(counts);
});
