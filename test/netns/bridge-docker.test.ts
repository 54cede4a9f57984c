/** Beside a real Docker Engine, started before us and after us. */
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { test, type TestContext } from 'node:test';
import { CONTAINER, dockerd, startDocker } from './docker-lab.ts';
import { createLab, HOST4, WORLD4 } from './lab.ts';
import { at, HERE, type Place, seenAs, silent } from './packets.ts';

function need(t: TestContext): string | null {
  if (dockerd === null) t.skip('no dockerd on this machine');
  return dockerd;
}

const policy = async (): Promise<string> => (await at(HERE, 'iptables', '-S', 'FORWARD')).split('\n')[0] ?? '';

for (const bridgeNf of ['0', '1']) {
  test(`Docker was here first, bridge-nf-call-iptables=${bridgeNf}`, async (t) => {
    const program = need(t);
    if (program === null) return;
    let container: Place = '';
    await using lab = await createLab({
      prepare: async (stack) => {
        container = await startDocker(stack, program);
        writeFileSync('/proc/sys/net/bridge/bridge-nf-call-iptables', bridgeNf);
      },
    });
    assert.equal(await policy(), '-P FORWARD DROP');
    const net = await lab.network('10.1.0.0/24');
    const [a, b] = [await lab.sandbox(net, 2), await lab.sandbox(net, 3)];
    assert.equal(await seenAs(a.place, b.ip), a.ip);
    assert.equal(await seenAs(a.place, WORLD4), HOST4);
    assert.equal(await seenAs(container, WORLD4), HOST4);
    assert.deepEqual(await Promise.all([silent(a.place, CONTAINER), silent(container, a.ip)]), [true, true]);
  });
}

test('Docker comes later', async (t) => {
  const program = need(t);
  if (program === null) return;
  await using lab = await createLab();
  const net = await lab.network('10.1.0.0/24');
  const [a, b] = [await lab.sandbox(net, 2), await lab.sandbox(net, 3)];
  await using stack = new AsyncDisposableStack();
  const container = await startDocker(stack, program);
  // Forwarding was on already, so Docker leaves the policy alone, and we still keep the host from routing for others.
  assert.equal(await policy(), '-P FORWARD ACCEPT');
  assert.equal(readFileSync('/proc/sys/net/ipv4/ip_forward', 'utf8').trim(), '1');
  assert.equal(await seenAs(container, WORLD4), HOST4);
  assert.equal(await seenAs(a.place, WORLD4), HOST4);
  assert.equal(await seenAs(a.place, b.ip), a.ip);
  assert.deepEqual(await Promise.all([silent(container, a.ip), silent(a.place, CONTAINER)]), [true, true]);
});
