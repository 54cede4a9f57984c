// test-timeout: 180 s
/** Each change of each plan fails in turn, refused by the real kernel: its state, the files, the store and the allocator are as before. */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { MoorError } from '../../src/base/errors.ts';
import type { Change } from '../../src/contracts/change.ts';
import type { Engine, OperationOptions, Outcome } from '../../src/contracts/engine.ts';
import { FOREIGN, type FailureLab, startFailureLab } from './failure-lab.ts';

let lab: FailureLab;
before(async () => {
  lab = await startFailureLab();
  writeFileSync(`${lab.root}/blocked`, 'a file, not a folder');
});
after(() => lab[Symbol.asyncDispose]());

/** The same change so that the kernel refuses it. */
function refused(change: Change): Change {
  const blocked = `${lab.root}/blocked/x`;
  /** bytes; a link has 65535 at most (ETH_MAX_MTU, <linux/if_ether.h>) */
  const mtu = 70_000;
  switch (change.kind) {
    case 'netns':
      return { ...change, path: blocked };
    case 'netns-pin':
      return { ...change, source: '/proc/self/ns/mnt' };
    case 'link':
      return { ...change, link: { ...change.link, mtu } };
    case 'link-set':
      return { ...change, value: { ...change.value, mtu } };
    case 'address':
      return { ...change, device: 'gone0' };
    case 'route':
      return change.op === 'remove'
        ? { ...change, route: { ...change.route, device: 'gone0' } }
        : {
            ...change,
            route: { ...change.route, via: (change.route.via?.includes(':') ? '2001:db8::9' : '192.0.2.9') as never },
          };
    case 'sysctl':
      return { ...change, value: 'neither 0 nor 1' };
    case 'nft-element':
      return { ...change, element: { ...change.element, set: 'no_such_set' } };
    case 'file':
      return { ...change, path: blocked };
    case 'nft-table':
      return { ...change, table: { ...change.table, name: 'no name' } };
    case 'rule':
      // IFNAMSIZ - 1, <linux/if.h>, is 15.
      return { ...change, rule: { ...change.rule, iif: 'sixteen-letters-' } };
    case 'nft-rule':
    case 'offload':
    case 'neighbour':
    case 'fdb':
    case 'announce':
    case 'conntrack':
      return assert.fail(`no plan here has a change of kind ${change.kind}`);
  }
}

type Operation = (engine: Engine, options?: OperationOptions) => Promise<Outcome<unknown>>;

const on = (...networks: readonly string[]): { readonly network: string }[] => networks.map((network) => ({ network }));

const OPERATIONS: Readonly<Record<string, Operation>> = {
  'create a network': ({ networks }, options) => networks.create({ name: 'new' }, options),
  'create a network with IPv6 and an MTU': ({ networks }, options) =>
    networks.create({ name: 'new', ipv6: true, options: { 'com.docker.network.driver.mtu': '1400' } }, options),
  'create an internal network': ({ networks }, options) => networks.create({ name: 'new', internal: true }, options),
  'connect to a network with IPv6': ({ networks }, options) =>
    networks.connect('dual', { sandbox: 'web', endpoint: {} }, options),
  'connect with another default gateway': ({ networks }, options) =>
    networks.connect('dual', { sandbox: 'web', endpoint: { gatewayPriority: 9 } }, options),
  'create a sandbox on three networks': ({ sandboxes }, options) =>
    sandboxes.create({ name: 'new', networks: on('net', 'dual', 'inner') }, options),
  'adopt a namespace': ({ sandboxes }, options) =>
    sandboxes.create({ name: 'new', adopt: { path: FOREIGN }, networks: on('net', 'dual') }, options),
};

for (const [name, operation] of Object.entries(OPERATIONS)) {
  test(`${name}: whichever change the kernel refuses, everything is as before`, async () => {
    const { changes } = (await operation(lab.engine, { dryRun: true })).plan;
    assert.ok(changes.length > 4);
    const wanted = await lab.everything();
    for (const failing of changes.keys()) {
      let what = '';
      lab.meddle((plan) => {
        assert.equal(plan.length, changes.length);
        what = JSON.stringify(plan[failing]);
        return plan.map((change, i) => (i === failing ? refused(change) : change));
      });
      await assert.rejects(
        operation(lab.engine),
        (error) => error instanceof MoorError && !/not undone/.test(error.message),
        what,
      );
      assert.equal(lab.waiting(), false, 'the plan came to the kernel');
      assert.deepEqual(await lab.journal(), []);
      await lab.assertAsBefore(wanted, `change ${failing}: ${what}`);
    }
    assert.deepEqual(await lab.engine.reconcile(), []);
  });
}
