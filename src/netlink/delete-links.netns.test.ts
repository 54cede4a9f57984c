import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseIfAddress } from '../base/ip.ts';
import { addAddress } from './address.ts';
import { deleteLinks } from './delete-links.ts';
import { Lab, type LabNamespace } from './lab.testing.ts';
import { addLink, setLink } from './link.ts';

const bridge = (name: string, index: number) => addLink({ name, index, up: true, kind: { type: 'bridge' } });
const veth = (name: string, index: number, master?: number) =>
  addLink({ name, index, up: true, master, kind: { type: 'veth', peer: { name: `${name}p`, index: index + 500 } } });
const names = (host: LabNamespace): readonly unknown[] => host.show('ip -j link').map(({ ifname }) => ifname);
/** This process holds open of netlink sockets. */
const sockets = (host: LabNamespace): number => Number(host.run(`ls -l /proc/${process.pid}/fd | grep -c socket:`));

describe('links that are deleted', () => {
  // The first one: no socket of another test is still open.
  test('are told to go before the kernel has finished with them', async () => {
    using lab = new Lab();
    const host = lab.namespace('host');
    const before = sockets(host);
    // Several bridges: the kernel waits for each, and answers then.
    host.apply(...Array.from({ length: 6 }, (_, i) => bridge(`br${i}`, 100 + i)));
    assert.ok(deleteLinks(host, [100, 101, 102, 103, 104, 105]).every((error) => error === null));
    assert.equal(sockets(host), before + 1, 'the one that waits for the answer');
    for (let left = 200; left > 0 && sockets(host) > before; left--) await sleep(20);
    assert.equal(sockets(host), before);
  });

  test('are gone when it returns, with addresses and routes, and their names are free at once', () => {
    using lab = new Lab();
    const host = lab.namespace('host');
    for (let round = 0; round < 8; round++) {
      host.apply(
        bridge('br', 900 + round),
        addAddress(900 + round, parseIfAddress('192.0.2.1/24')),
        veth('v', 100 + round, 900 + round),
      );
      assert.deepEqual(deleteLinks(host, ['v']), [null]);
      assert.deepEqual(names(host), ['lo', 'br'], `round ${round}`);
      assert.deepEqual(deleteLinks(host, ['br']), [null]);
      assert.deepEqual(names(host), ['lo'], `round ${round}`);
      assert.deepEqual(host.show('ip -j route show table all dev br 2>/dev/null || echo []'), []);
      assert.deepEqual(host.show('ip -j -4 address').length, 1);
    }
  });

  test('have their names free for the next message, whatever the kernel still does', () => {
    using lab = new Lab();
    const host = lab.namespace('host');
    for (let round = 0; round < 40; round++) {
      const index = 100 + 2 * round;
      host.apply(bridge('br', index), addAddress(index, parseIfAddress('192.0.2.1/24')), veth('v', index + 1, index));
      assert.deepEqual(deleteLinks(host, round % 2 === 0 ? ['v', 'br'] : ['br', 'v']), [null, null]);
    }
    for (let round = 0; round < 40; round++) {
      host.apply(veth('v', 10_000 + round));
      assert.deepEqual(deleteLinks(host, ['v']), [null]);
    }
    assert.deepEqual(names(host), ['lo']);
  });

  test('a port that only leaves its bridge is not taken for one that is gone', () => {
    using lab = new Lab();
    const host = lab.namespace('host');
    host.apply(bridge('br', 900), bridge('br2', 901), veth('v', 100), setLink('v', { master: 900 }));
    assert.deepEqual(deleteLinks(host, ['br', 'v', 'br2']), [null, null, null]);
    assert.deepEqual(names(host), ['lo']);
  });

  test("what the kernel refuses has the kernel's reason", () => {
    using lab = new Lab();
    const host = lab.namespace('host');
    const [none] = deleteLinks(host, ['none']);
    assert.deepEqual([none?.kernel?.code, none?.kernel?.operation], ['ENODEV', 'ip link del none']);
    assert.equal(deleteLinks(host, [77])[0]?.kernel?.code, 'ENODEV');
    assert.equal(deleteLinks(host, ['lo'])[0]?.kernel?.code, 'EOPNOTSUPP');
    assert.deepEqual(
      deleteLinks(host, ['none', 'nor this']).map((error) => error?.kernel?.code),
      ['ENODEV', 'ENODEV'],
    );
  });

  test('many links are deleted at once, and each says what became of it', () => {
    using lab = new Lab();
    const host = lab.namespace('host');
    const veth = (i: number) => addLink({ name: `v${i}`, index: 100 + i, kind: { type: 'veth', peer: { name: `p${i}` } } });
    host.apply(bridge('br0', 10), ...Array.from({ length: 20 }, (_, i) => veth(i)));
    const names = Array.from({ length: 19 }, (_, i) => `v${i}`);
    assert.deepEqual(
      deleteLinks(host, [...names, 'none', 10]).map((error) => error?.message ?? null),
      [...names.map(() => null), 'ip link del none: no such device (ENODEV)', null],
    );
    const left = (): readonly unknown[] => host.show('ip -j link').map((item) => item['ifname']);
    assert.deepEqual(left(), ['lo', 'p19', 'v19']);
    // The loopback cannot be deleted; that does not keep the other one.
    assert.deepEqual(
      deleteLinks(host, ['lo', 'v19']).map((error) => error?.kernel?.code ?? null),
      ['EOPNOTSUPP', null],
    );
    assert.deepEqual(left(), ['lo']);
    assert.equal(host.show('ip -j link show lo')[0]?.['group'], 'default');
    assert.equal(deleteLinks(host, ['none'])[0]?.kernel?.operation, 'ip link del none');
    assert.deepEqual(deleteLinks(host, []), []);
  });
});
