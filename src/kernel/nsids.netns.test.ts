import '../../test/support/isolated.ts';
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { test } from 'node:test';
import { setNsid } from '../netlink/nsid.ts';
import { NetlinkSocket } from '../netlink/socket.ts';
import type { Fd } from '../sys/fd.ts';
import { createUnpinnedNetns } from '../sys/netns.ts';
import { Nsids } from './nsids.ts';

interface Place extends Disposable {
  readonly host: NetlinkSocket;
  readonly netns: () => Fd;
}

function place(): Place {
  const stack = new DisposableStack();
  const host = NetlinkSocket.open('route');
  stack.defer(() => host.close());
  return { host, netns: () => stack.use(createUnpinnedNetns()), [Symbol.dispose]: () => stack.dispose() };
}

/** As ip(8) tells of them: `nsid 0`. */
const listed = (): readonly string[] => execFileSync('ip', ['netns', 'list-id'], { encoding: 'utf8' }).match(/nsid \d+/g) ?? [];
test('each gets a lower one than those before, and keeps it', () => {
  using here = place();
  const nsids = new Nsids(here.host);
  const all = Array.from({ length: 5 }, here.netns);
  const ids = all.map((netns) => nsids.of(netns) ?? 0);
  const first = ids[0] ?? 0;
  assert.deepEqual(
    ids,
    all.map((_, i) => first - i),
  );
  assert.deepEqual(
    all.map((netns) => nsids.of(netns)),
    ids,
  );
  assert.deepEqual(listed().toSorted(), ids.map((id) => `nsid ${id}`).toSorted());
});

test('a daemon that is started again goes on below, and numbers of others are left alone', () => {
  using here = place();
  const [a, b, c, foreign, low] = [here.netns(), here.netns(), here.netns(), here.netns(), here.netns()];
  const before = new Nsids(here.host);
  const id = before.of(a) ?? 0;
  const after = new Nsids(here.host);
  assert.equal(after.of(a), id);
  assert.equal(after.of(b), id - 1);
  // The kernel's own choice is the lowest; it does not count.
  here.host.run(setNsid(low, -1));
  assert.equal(after.of(low), 0);
  here.host.run(setNsid(foreign, id - 2));
  assert.equal(after.of(c), id - 3);
  assert.equal(after.of(foreign), id - 2);
});
