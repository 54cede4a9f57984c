/** Beside Docker: what its rules drop, what ours let pass there, and that neither opens the other's networks. */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import type { HostFacts } from '../../src/contracts/kernel.ts';
import { createLab, HOST4, type LabOptions, stranger, WORLD4 } from './lab.ts';
import { at, HERE, type Place, pings, seenAs, silent } from './packets.ts';

/**
 * The chains of Docker Engine 20.10 with its default network: the version that leaves most to the policy. Same commands as in
 * moby's integration/network/bridge/iptablesdoc, less the drop in DOCKER that came with 28.
 */
const DOCKER_RULES = `
*filter
:FORWARD DROP
:DOCKER -
:DOCKER-ISOLATION-STAGE-1 -
:DOCKER-ISOLATION-STAGE-2 -
:DOCKER-USER -
-A FORWARD -j DOCKER-USER
-A FORWARD -j DOCKER-ISOLATION-STAGE-1
-A FORWARD -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A FORWARD -o docker0 -j DOCKER
-A FORWARD -i docker0 ! -o docker0 -j ACCEPT
-A FORWARD -i docker0 -o docker0 -j ACCEPT
-A DOCKER-ISOLATION-STAGE-1 -i docker0 ! -o docker0 -j DOCKER-ISOLATION-STAGE-2
-A DOCKER-ISOLATION-STAGE-1 -j RETURN
-A DOCKER-ISOLATION-STAGE-2 -o docker0 -j DROP
-A DOCKER-ISOLATION-STAGE-2 -j RETURN
-A DOCKER-USER -j RETURN
COMMIT
*nat
:DOCKER -
-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER
-A OUTPUT ! -d 127.0.0.0/8 -m addrtype --dst-type LOCAL -j DOCKER
-A POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE
-A DOCKER -i docker0 -j RETURN
COMMIT
`;

const CONTAINER = '172.17.0.2';

async function startDocker(stack: AsyncDisposableStack): Promise<Place> {
  writeFileSync('/proc/sys/net/ipv4/ip_forward', '1');
  stack.defer(() => writeFileSync('/proc/sys/net/ipv4/ip_forward', '0'));
  await at(HERE, 'ip', 'link', 'add', 'docker0', 'up', 'type', 'bridge');
  stack.defer(async () => void (await at(HERE, 'ip', 'link', 'del', 'docker0')));
  await at(HERE, 'ip', 'address', 'add', '172.17.0.1/16', 'dev', 'docker0');
  const file = '/run/tmp/docker.rules';
  writeFileSync(file, DOCKER_RULES);
  await at(HERE, 'iptables-restore', file);
  await at(HERE, 'rm', file);
  stack.defer(async () => void (await at(HERE, 'nft', 'delete table ip filter; delete table ip nat')));
  return stranger(stack, 'container', { bridge: 'docker0', address: `${CONTAINER}/16`, gateway: '172.17.0.1' });
}

for (const bridgeNf of ['0', '1']) {
  describe(`beside Docker, bridge-nf-call-iptables=${bridgeNf}`, () => {
    let container: Place = '';
    const beside = (facts: Partial<HostFacts> = {}): LabOptions => ({
      prepare: async (stack) => {
        container = await startDocker(stack);
        writeFileSync('/proc/sys/net/bridge/bridge-nf-call-iptables', bridgeNf);
      },
      facts,
    });

    test('everything works through the one rule in DOCKER-USER', async () => {
      await using lab = await createLab(beside());
      const net = await lab.network('10.1.0.0/24');
      const [a, b] = [await lab.sandbox(net, 2), await lab.sandbox(net, 3)];
      assert.equal(await seenAs(a.place, WORLD4), HOST4);
      assert.equal(await seenAs(a.place, b.ip), a.ip);
      assert.equal(await seenAs(container, WORLD4), HOST4);
      const listed = await at(HERE, 'iptables', '-S', 'DOCKER-USER');
      assert.equal(
        listed.split('\n')[1],
        '-A DOCKER-USER -m mark --mark 0x1000/0x1000 -m comment --comment "moor_t: forwarded by Moorline" -j ACCEPT',
      );
    });

    test('neither side reaches the other', async () => {
      await using lab = await createLab(beside());
      const a = await lab.sandbox(await lab.network('10.1.0.0/24'), 2);
      assert.ok(await pings(HERE, CONTAINER));
      assert.deepEqual(await Promise.all([silent(a.place, CONTAINER), silent(container, a.ip)]), [true, true]);
    });

    test('without that rule Docker drops what we forward', async () => {
      await using lab = await createLab(beside({ foreignForward: [] }));
      const net = await lab.network('10.1.0.0/24');
      const [a, b] = [await lab.sandbox(net, 2), await lab.sandbox(net, 3)];
      assert.ok(await silent(a.place, WORLD4));
      assert.equal(await silent(a.place, b.ip), bridgeNf === '1');
    });
  });
}
