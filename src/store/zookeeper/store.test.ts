/** A server that answers what no ZooKeeper would: nothing of it may end the process, or look like data. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { test } from 'node:test';
import fc from 'fast-check';
import { bootClock } from '../../base/boot-clock.ts';
import { silentLogger } from '../../base/clock.ts';
import { MoorError } from '../../base/errors.ts';
import { CompactedError, type Store, type StoreEvent } from '../../contracts/store.ts';
import { OP, XID } from './api.ts';
import { CODE } from './faults.ts';
import { Frames } from './frames.ts';
import { JuteReader, JuteWriter } from './jute.ts';
import { openZookeeperStore } from './store.ts';

/** What is there, and how each answer is spoilt before it is sent. */
interface Liar extends AsyncDisposable {
  readonly store: Store;
  nodes: Map<string, { readonly data: Uint8Array; readonly mzxid: bigint }>;
  zxid: bigint;
  spoil: (op: number, frame: Buffer) => Buffer | null;
  /** Tells all that listen. */
  tell: (path: string) => void;
}

const NODE = { owner: 0n, version: 3 };

async function liar(): Promise<Liar> {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
    const frames = new Frames();
    let connected = false;
    socket.on('data', (bytes: Buffer) => {
      for (const frame of frames.push(bytes)) {
        const from = new JuteReader(frame);
        if (!connected) {
          connected = true;
          socket.write(new JuteWriter().int(0).int(6_000).long(77n).buffer(Buffer.alloc(16)).bool(false).frame());
          continue;
        }
        const [xid, op] = [from.int(), from.int()];
        const answer = made.spoil(op, answerTo({ xid, op, from }, made));
        if (answer !== null) socket.write(answer);
      }
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const endpoints = [{ host: '127.0.0.1', port: (server.address() as AddressInfo).port }];
  const store = await openZookeeperStore({
    endpoints,
    prefix: '/t',
    logger: silentLogger,
    clock: bootClock,
    timeoutMs: 600,
    random: () => 0,
  });
  const made: Liar = {
    store,
    nodes: new Map([['/t/a=', { data: Buffer.from('v'), mzxid: 5n }]]),
    zxid: 9n,
    spoil: (_, frame) => frame,
    tell: (path) => {
      const event = new JuteWriter().int(XID.EVENT).long(-1n).int(0).int(3).int(3).string(path).frame();
      for (const socket of sockets) socket.write(event);
    },
    [Symbol.asyncDispose]: async () => {
      await store[Symbol.asyncDispose]();
      for (const socket of sockets) socket.destroy();
      server.close();
    },
  };
  return made;
}

interface Asked {
  readonly xid: number;
  readonly op: number;
  readonly from: JuteReader;
}

function answerTo({ xid, op, from }: Asked, { nodes, zxid }: Liar): Buffer {
  const head = (code: number): JuteWriter => new JuteWriter().int(xid).long(zxid).int(code);
  const stat = (to: JuteWriter, mzxid: bigint): JuteWriter => {
    to.long(mzxid).long(mzxid).long(0n).long(0n).int(NODE.version).int(0).int(0).long(NODE.owner).int(0).int(0);
    return to.long(mzxid);
  };
  switch (op) {
    case OP.GET_DATA:
    case OP.EXISTS: {
      const node = nodes.get(from.string());
      if (!node) return head(CODE.NO_NODE).frame();
      const to = head(CODE.OK);
      if (op === OP.GET_DATA) to.buffer(node.data);
      return stat(to, node.mzxid).frame();
    }
    case OP.GET_CHILDREN: {
      const below = `${from.string()}/`;
      const names = [...nodes.keys()].filter((path) => path.startsWith(below)).map((path) => path.slice(below.length));
      const to = head(CODE.OK).int(names.length);
      for (const name of names) to.string(name);
      return stat(to, zxid).frame();
    }
    case OP.MULTI: {
      const to = head(CODE.OK).int(OP.SET_DATA).bool(false).int(0);
      return stat(to, zxid).int(-1).bool(true).int(-1).frame();
    }
    case OP.SYNC:
      return head(CODE.OK).string('/t').frame();
    default:
      return head(CODE.OK).frame();
  }
}

test('the good answers are understood, so that the bad ones are near them', async () => {
  await using server = await liar();
  const { store } = server;
  assert.deepEqual(await store.get('a'), { key: 'a', value: 'v', revision: 5 });
  assert.equal(await store.get('b'), null);
  assert.deepEqual(await store.list(''), { entries: [{ key: 'a', value: 'v', revision: 5 }], revision: 9 });
  assert.equal(await store.commit([{ type: 'put', key: 'a', value: 'w', expect: 5 }]), 9);
});

test('nodes that are not of our making are no entries', async () => {
  await using server = await liar();
  const node = { data: Buffer.from([0xff, 0xfe]), mzxid: 5n };
  for (const path of ['/t/b', '/t/c:', '/t/=', '/t/ü=', '/t/d e=', '/t/guard', '/u/x=']) server.nodes.set(path, node);
  server.nodes.set('/t/bytes=', node);
  const { entries } = await server.store.list('');
  assert.deepEqual(
    entries.map(({ key, value }) => [key, value]),
    [
      ['a', 'v'],
      ['bytes', '\ufffd\ufffd'],
    ],
  );
});

test('a value that is cut short is no value', async () => {
  await using server = await liar();
  server.spoil = (op, frame) => {
    if (op !== OP.GET_DATA) return frame;
    const short = Buffer.from(frame.subarray(0, -3));
    short.writeInt32BE(short.length - 4);
    return short;
  };
  await assert.rejects(server.store.get('a'), { kind: 'internal', message: /cut short/ });
  await assert.rejects(server.store.list(''), { kind: 'internal', message: /cut short/ });
});

test('an older revision is the end of a watch, not news', async () => {
  await using server = await liar();
  const { store } = server;
  const { revision } = await store.list('');
  const seen: StoreEvent[] = [];
  const watching = (async () => {
    for await (const events of store.watch('', revision, AbortSignal.timeout(10_000))) seen.push(...events);
  })();
  const ended = assert.rejects(
    watching,
    (error) => error instanceof CompactedError && /gone back to \d+, list again/.test(error.message),
  );
  server.nodes.set('/t/a=', { data: Buffer.from('old'), mzxid: 3n });
  server.tell('/t/a=');
  await ended;
  assert.deepEqual(seen, []);
});

test('answers in another order, or to what was not asked, cost the connection', async () => {
  await using server = await liar();
  server.spoil = (op, frame) => {
    const other = Buffer.from(frame);
    if (op === OP.GET_DATA) other.writeInt32BE(99, 4);
    return other;
  };
  await assert.rejects(server.store.get('a'), {
    message: /^cannot read a: ZooKeeper at .*: (not understood: an answer to 99, where \d+ was due|no answer)$/,
  });
  server.spoil = (_, frame) => frame;
  assert.equal((await server.store.get('a'))?.value, 'v');
});

test('mutated answers give an error of ours, or well-formed entries', async () => {
  await using server = await liar();
  const { store } = server;
  await fc.assert(
    fc.asyncProperty(
      fc.constantFrom(OP.GET_DATA, OP.GET_CHILDREN, OP.MULTI, OP.EXISTS, OP.SYNC, OP.PING),
      fc.nat(200),
      fc.nat(255),
      async (spoilt, at, byte) => {
        server.spoil = (op, frame) => {
          if (op !== spoilt) return frame;
          const bad = Buffer.from(frame);
          bad[at % bad.length] = byte;
          return bad;
        };
        const outcomes = await Promise.allSettled([
          store.get('a').then((entry) => assert.ok(entry === null || Number.isSafeInteger(entry.revision))),
          store.list('').then(({ entries }) => assert.ok(entries.every((entry) => Number.isSafeInteger(entry.revision)))),
          store.commit([{ type: 'put', key: 'a', value: '', expect: 5 }]),
        ]);
        for (const outcome of outcomes) {
          if (outcome.status === 'rejected') assert.ok(outcome.reason instanceof MoorError, String(outcome.reason));
        }
      },
    ),
    { numRuns: 20 },
  );
});

test('what is too much for one commit is refused before it is sent', async () => {
  await using server = await liar();
  const large = Array.from({ length: 3 }, (_, i) => ({ type: 'put', key: `k${i}`, value: 'x'.repeat(400_000) }) as const);
  await assert.rejects(server.store.commit(large), {
    kind: 'invalid',
    message: /^cannot write k0: the commit has 12\d{5} bytes for ZooKeeper, which takes 1048575 at a time \(jute\.maxbuffer\)$/,
  });
});
