import assert from 'node:assert/strict';
import { readdirSync, readlinkSync } from 'node:fs';
import { describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { deleteAside } from './delete-aside.ts';
import { Lab, type LabNamespace } from './lab.ts';
import { addLink, deleteLink, setLink } from './link.ts';

const veth = (name: string, index: number) =>
  addLink({ name, index, up: true, kind: { type: 'veth', peer: { name: `${name}p`, index: index + 500 } } });
const remove = ({ netns, route }: LabNamespace, name: string) =>
  deleteAside({ request: deleteLink(name), names: [name], netns, route });
const names = (host: LabNamespace): readonly unknown[] => host.show('ip -j link').map(({ ifname }) => ifname);

function sockets(): readonly string[] {
  return readdirSync('/proc/self/fd').filter((fd) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`).startsWith('socket:');
    } catch {
      return false; // the descriptor of the listing itself
    }
  });
}

describe('links deleted on another thread', () => {
  // First, while nothing else is under way.
  test('the socket is closed when the kernel has finished', async () => {
    using lab = new Lab();
    const host = lab.namespace('host');
    host.apply(veth('v', 100));
    const open = (): number => sockets().length;
    const before = open();
    assert.equal(remove(host, 'v'), null);
    for (let left = 200; left > 0 && open() !== before; left--) await sleep(20);
    assert.equal(open(), before);
  });

  test('are gone when it returns, and their names are free at once', () => {
    using lab = new Lab();
    const host = lab.namespace('host');
    for (let round = 0; round < 8; round++) {
      host.apply(veth('v', 100 + round), addLink({ name: 'br', index: 900 + round, up: true, kind: { type: 'bridge' } }));
      host.apply(setLink('v', { master: 900 + round }));
      assert.equal(remove(host, 'v'), null);
      assert.deepEqual(names(host), ['lo', 'br'], `round ${round}`);
      assert.equal(remove(host, 'br'), null);
      assert.deepEqual(names(host), ['lo'], `round ${round}`);
    }
  });

  test('a port that only leaves its bridge is not taken for one that is gone', () => {
    using lab = new Lab();
    const host = lab.namespace('host');
    host.apply(
      addLink({ name: 'br', index: 900, up: true, kind: { type: 'bridge' } }),
      veth('v', 100),
      setLink('v', { master: 900 }),
    );
    // The bridge goes and tells that `v` left it. `v` itself stays, so this ends with the kernel's answer.
    const { netns, route } = host;
    assert.equal(deleteAside({ request: deleteLink('br'), names: ['v'], netns, route }), null);
    assert.deepEqual(new Set(names(host)), new Set(['lo', 'v', 'vp']));
  });

  test("what the kernel refuses has the kernel's reason", () => {
    using lab = new Lab();
    const host = lab.namespace('host');
    assert.equal(remove(host, 'none')?.kernel?.code, 'ENODEV');
    assert.equal(remove(host, 'lo')?.kernel?.code, 'EOPNOTSUPP');
    assert.equal(remove(host, 'none')?.kernel?.operation, 'ip link del none');
  });
});
