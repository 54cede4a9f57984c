// test-timeout: 120 s
/** Plans that meet what stands in their way: taken names, full and read-only disks, no file descriptors. Everything is as before. */
import assert from 'node:assert/strict';
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, rmSync } from 'node:fs';
import { after, before, beforeEach, test } from 'node:test';
import { MoorError } from '../../src/base/errors.ts';
import { type Change, HOST } from '../../src/contracts/change.ts';
import { FOREIGN, type FailureLab, ip, type Meddler, startFailureLab, type State } from './failure-lab.ts';

let lab: FailureLab;
let wanted: State;
before(async () => {
  lab = await startFailureLab();
});
beforeEach(async () => {
  wanted = await lab.everything();
});
after(() => lab[Symbol.asyncDispose]());

const sh = (script: string, ...args: readonly string[]): void =>
  void execFileSync('sh', ['-e', '-c', script, 'sh', ...args], { stdio: ['ignore', 'ignore', 'pipe'] });

/** Puts something in the way when the plan is made, and leaves the plan as it is. */
const obstacle =
  (put: (changes: readonly Change[]) => void): Meddler =>
  (changes) => {
    put(changes);
    return changes;
  };

const hostLink = (changes: readonly Change[]): string =>
  changes.flatMap((change) => (change.kind === 'link' && change.op === 'add' ? [change.link.name] : []))[0] ??
  assert.fail('the plan makes no link');

const newSandbox = (): Promise<unknown> =>
  lab.engine.sandboxes.create({ name: 'new', networks: ['net', 'dual'].map((network) => ({ network })) });
const newNetwork = (): Promise<unknown> => lab.engine.networks.create({ name: 'new', ipv6: true });
const connect = (): Promise<unknown> => lab.engine.networks.connect('dual', { sandbox: 'web', endpoint: { gatewayPriority: 5 } });

const named = { name: 'new', options: { 'com.docker.network.bridge.name': 'taken0' } };

test('a device of somebody else has the name that a bridge is to have, and is none: it stays', async () => {
  ip('link', 'add', 'taken0', 'type', 'ifb');
  const his = await lab.everything();
  await assert.rejects(lab.engine.networks.create(named), {
    kind: 'conflict',
    message:
      "cannot create network new: the host has a device taken0 that is not this network's: give its bridge another name, or remove the device",
  });
  await lab.assertAsBefore(his, 'the device is still there');
  ip('link', 'del', 'taken0');
});

test('a bridge of somebody else is used, is left as it was by a network that cannot be made, and by one that goes', async () => {
  ip('link', 'add', 'taken0', 'up', 'type', 'bridge');
  // With a port, or it would change its state by itself.
  ip('link', 'add', 'his0', 'up', 'master', 'taken0', 'type', 'veth', 'peer', 'name', 'his1');
  ip('link', 'set', 'his1', 'up');
  ip('address', 'add', '10.77.0.1/24', 'dev', 'taken0');
  const his = await lab.everything();
  const spec = { ...named, internal: true, pools: [{ subnet: '10.77.0.0/24' }] };
  const failing: Change = { kind: 'sysctl', netns: HOST, key: 'net/ipv4/conf/nosuchdev/rp_filter', value: '1', old: null };
  lab.meddle((changes) => [...changes.slice(0, -1), failing]);
  await assert.rejects(lab.engine.networks.create(spec), { kind: 'not-found' });
  await lab.assertAsBefore(his, 'it could not be made');

  const { plan } = await lab.engine.networks.create(spec, { dryRun: true });
  assert.ok(!plan.changes.some(({ kind }) => kind === 'link' || kind === 'address'), 'it has the address already');
  await lab.engine.networks.create({ ...spec, pools: [{ subnet: '10.78.0.0/24' }] });
  const addresses = (): string => ip('-br', '-4', 'address', 'show', 'taken0');
  assert.match(addresses(), /10\.77\.0\.1\/24 10\.78\.0\.1\/24/);
  await lab.engine.sandboxes.create({ name: 'guest', networks: [{ network: 'new' }] });
  await lab.engine.sandboxes.remove('guest');
  await lab.engine.networks.remove('new');
  await lab.assertAsBefore(his, 'the network is gone');
  ip('link', 'del', 'taken0');
  ip('link', 'del', 'his0');
});

for (const [what, operation] of Object.entries({ connect, newSandbox, newNetwork })) {
  test(`${what}: a link of the same name appears at the last moment, and stays`, async () => {
    let name = '';
    lab.meddle(
      obstacle((changes) => {
        name = hostLink(changes);
        ip('link', 'add', name, 'type', 'ifb');
      }),
    );
    await assert.rejects(operation(), (error) => error instanceof MoorError && error.message.includes(name));
    assert.match(ip('-d', 'link', 'show', name), /\bifb\b/);
    ip('link', 'del', name);
    await lab.assertAsBefore(wanted, name);
  });
}

test('an element of our map leads elsewhere', async () => {
  lab.meddle(
    obstacle((changes) => {
      const name = hostLink(changes);
      execFileSync('nft', ['add', 'element', 'inet', 'moor_f', 'leaving', `{ "${name}" : drop }`]);
    }),
  );
  await assert.rejects(newNetwork(), /leaving/);
  assert.match(
    (await lab.engine.reconcile()).join('\n'),
    /^restored nft delete element inet moor_f leaving \{ "br-\w+".*nobody owns it$/,
  );
  await lab.assertAsBefore(wanted, 'swept');
});

test('our table is gone in the middle of a plan: it comes back, with no trace of the plan', async () => {
  lab.meddle(obstacle(() => void execFileSync('nft', ['flush', 'ruleset'])));
  await assert.rejects(newNetwork(), MoorError);
  await lab.assertAsBefore(wanted, 'repaired');
});

test('a namespace that was adopted has an interface of the same name already: nothing in it changes', async () => {
  ip('-n', 'failure-foreign', 'link', 'add', 'eth7', 'type', 'bridge');
  const his = await lab.everything();
  await assert.rejects(
    lab.engine.sandboxes.create({
      name: 'new',
      adopt: { path: FOREIGN },
      networks: [{ network: 'net' }, { network: 'dual', endpoint: { interfaceName: 'eth7' } }],
    }),
    /eth7/,
  );
  await lab.assertAsBefore(his, 'adopted');
  ip('-n', 'failure-foreign', 'link', 'del', 'eth7');
});

test('the exec root is read-only', async () => {
  const exec = `${lab.root}/exec`;
  sh('mount --bind "$1" "$1"; mount -o remount,ro,bind "$1"', exec);
  try {
    await assert.rejects(newSandbox(), /read-only|EROFS/i);
  } finally {
    sh('umount -l "$1"', exec);
  }
  await lab.assertAsBefore(wanted, 'read-only');
});

test('the exec root is full, at each point of the plan', async () => {
  const sandboxes = `${lab.root}/exec/sandboxes`;
  let made = false;
  // Inodes for the root of the file system, the sandbox's folder, and so many files.
  for (let inodes = 1; !made; inodes++) {
    assert.ok(inodes < 10);
    sh('mount -t tmpfs -o nr_inodes=$2 tmpfs "$1"', sandboxes, String(inodes));
    try {
      made = await newSandbox().then(
        () => true,
        (error: unknown) => {
          assert.match(String(error), /ENOSPC|no space left/i);
          return false;
        },
      );
      assert.equal(readdirSync(sandboxes).length, made ? 1 : 0, `${inodes} inodes`);
    } finally {
      sh('umount -l "$1"', sandboxes);
    }
    if (!made) await lab.assertAsBefore(wanted, `${inodes} inodes`);
  }
  await lab.engine.sandboxes.remove('new');
});

test('a file is where the folder of namespaces should be', async () => {
  // Beside the folder that is there, on a file system of its own, so that it is back afterwards.
  const exec = `${lab.root}/exec`;
  sh('mount -t tmpfs tmpfs "$1"; touch "$1/netns"', exec);
  try {
    await assert.rejects(newSandbox(), MoorError);
    assert.deepEqual(readdirSync(exec), ['netns']);
  } finally {
    sh('umount -l "$1"', exec);
  }
  await lab.assertAsBefore(wanted, 'blocked');
});

/** Sets this process's limit of open files. A child that is there already does it, for starting one takes descriptors. */
async function limitFiles(helper: ChildProcess, limit: number | string): Promise<void> {
  const done = once(helper.stdout ?? assert.fail(), 'data');
  helper.stdin?.write(`${limit}\n`);
  await done;
}

/** The limit that leaves so many descriptors to open: a new one is the lowest that is free, and below the limit (getrlimit(2)). */
function limitWith(free: number): number {
  const open = new Set(readdirSync('/proc/self/fd').map(Number));
  let limit = 0;
  for (let left = free; open.has(limit) || left > 0; limit++) if (!open.has(limit)) left--;
  return limit;
}

test('no file descriptor is left, at each point of the plan', async () => {
  const script = `while read -r limit; do prlimit --pid ${process.pid} --nofile="$limit:"; echo; done`;
  const helper = spawn('sh', ['-c', script], { stdio: ['pipe', 'pipe', 'inherit'] });
  const usual = execFileSync('prlimit', ['--pid', String(process.pid), '--nofile', '--noheadings', '--output', 'SOFT'], {
    encoding: 'utf8',
  });
  let made = false;
  for (let free = 0; !made; free++) {
    assert.ok(free < 50);
    await limitFiles(helper, limitWith(free));
    made = await newSandbox().then(
      () => true,
      () => false,
    );
    await limitFiles(helper, usual.trim());
    assert.ok(free > 0 || !made);
    if (made) break;
    // Undoing takes descriptors as well: what it could not do, the sweep does.
    await lab.engine.reconcile();
    await lab.assertAsBefore(wanted, `${free} descriptors`);
  }
  await lab.engine.sandboxes.remove('new');
  helper.stdin?.end();
  await once(helper, 'exit');
});

/** Fills the file system of a folder, whatever small rest a program might still write into. */
const fill = (folder: string): void => sh('cat /dev/zero >"$1/filler" 2>/dev/null || true', folder);

test('the disk of the store is full when the object is to be stored', async () => {
  // The last test: one lab at a time fits into this namespace.
  await lab[Symbol.asyncDispose]();
  lab = await startFailureLab({ dataSize: '1m' });
  const start = await lab.everything();
  for (const operation of [newNetwork, connect, newSandbox]) {
    lab.meddle(obstacle(() => fill(`${lab.root}/data`)));
    await assert.rejects(operation(), /no space left/);
    rmSync(`${lab.root}/data/filler`);
    await lab.assertAsBefore(start, operation.name);
  }
  await newNetwork();
  assert.deepEqual(await lab.journal(), [], 'rows that could not be deleted then are deleted now');
});
