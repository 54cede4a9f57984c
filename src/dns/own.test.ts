/** Which question gets which answer, without sockets. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { type Id, newId } from '../base/ids.ts';
import { type IpAddress, parseIp } from '../base/ip.ts';
import type { NameRecord, ResolverClient } from '../contracts/resolver.ts';
import { dnsFlag, Question } from '../wire/dns.ts';
import {
  BADVERS,
  FORMERR,
  NOERROR,
  NOTIMP,
  type QueryOptions,
  type QueryType,
  queryOf,
  type Read,
  readAnswer,
  REFUSED,
} from './messages.testing.ts';
import { DROP, FORWARD, OwnNames } from './own.ts';
import { View } from './view.ts';
import { Zones } from './zones.ts';

const SIZE = 4096;
const web = newId();
const db = newId();

interface World {
  readonly zones: Zones;
  readonly ask: (name: string, type: QueryType, options?: QueryOptions) => Read | 'forward';
  readonly raw: (bytes: Uint8Array, tcp?: boolean) => Uint8Array | 'forward' | 'drop';
}

function world(records: readonly NameRecord[], client: Partial<ResolverClient> = {}): World {
  const zones = new Zones();
  for (const record of records) zones.put(record);
  const networks = [
    { id: web, name: 'My_Net' },
    { id: db, name: 'db.internal' },
  ];
  const view = new View({ sandbox: newId(), netns: '', networks, links: {}, upstreams: [], ...client }, zones);
  const own = new OwnNames(new Question(), SIZE);
  const raw = (bytes: Uint8Array, tcp = false): Uint8Array | 'forward' | 'drop' => {
    const room = tcp ? 65535 : SIZE;
    const place = new Uint8Array(10 + room);
    place.set(bytes, 10);
    own.place(place, 10);
    const length = own.respond(view, bytes.length, { bytes: room, datagram: !tcp });
    if (length === FORWARD) {
      assert.deepEqual(place.subarray(10, 10 + bytes.length), Uint8Array.from(bytes), 'what is forwarded is as it was');
      return 'forward';
    }
    return length === DROP ? 'drop' : place.slice(10, 10 + length);
  };
  return {
    zones,
    raw,
    ask: (name, type, options) => {
      const answer = raw(queryOf(name, type, options));
      if (answer === 'drop') throw new Error('dropped');
      return answer === 'forward' ? answer : readAnswer(answer);
    },
  };
}

const record = (network: Id, names: string, ...addresses: readonly string[]): NameRecord => ({
  endpoint: newId(),
  network,
  names: names.split(' '),
  addresses: addresses.map((address): IpAddress => parseIp(address)),
});

const answers = (got: Read | 'forward'): readonly string[] | string => (got === 'forward' ? got : got.answers);

test('names, aliases and ids, in any case, repeated as asked', () => {
  const { ask } = world([record(web, 'Web 1a2b3c4d5e6f', '10.0.0.2', 'fd00::2')]);
  for (const name of ['web', 'WEB', 'wEb', '1A2B3C4D5E6F']) {
    const got = ask(name, 'A', { id: 77 });
    assert.ok(got !== 'forward');
    assert.deepEqual([got.id, got.code, got.name, got.answers], [77, NOERROR, name, ['10.0.0.2']]);
    assert.equal(got.packet.answers?.[0]?.name, name);
    assert.ok(!got.packet.flag_aa && got.packet.flag_ra && got.packet.flag_rd);
  }
  assert.deepEqual(answers(ask('web', 'AAAA')), ['fd00::2']);
  assert.equal(ask('web2', 'A'), 'forward');
  assert.equal(ask('we', 'A'), 'forward');
});

test('a name with its network, whose name may have dots and any case', () => {
  const { ask } = world([record(web, 'a.b', '10.0.0.2'), record(db, 'x', '10.1.0.2'), record(newId(), 'y', '10.2.0.2')]);
  assert.deepEqual(answers(ask('a.b', 'A')), ['10.0.0.2']);
  assert.deepEqual(answers(ask('a.b.my_net', 'A')), ['10.0.0.2']);
  assert.deepEqual(answers(ask('X.DB.internal', 'A')), ['10.1.0.2']);
  for (const name of ['x.my_net', 'x.db', 'x.internal', 'a.b.db.internal', 'y', 'y.my_net', 'my_net', 'x.db.internal.my_net']) {
    assert.equal(ask(name, 'A'), 'forward', name);
  }
});

test('an earlier network wins, unless it has no address of the asked family', () => {
  const { ask } = world([record(db, 'same', '10.1.0.2', 'fd01::2'), record(web, 'same', '10.0.0.2')]);
  assert.deepEqual(answers(ask('same', 'A')), ['10.0.0.2']);
  assert.deepEqual(answers(ask('same', 'AAAA')), ['fd01::2']);
  assert.deepEqual(answers(ask('same.db.internal', 'A')), ['10.1.0.2']);
});

test('an own name never leaves: other families and types are empty', () => {
  const { ask } = world([record(web, 'four', '10.0.0.2'), record(web, 'six', 'fd00::2'), record(web, 'none')]);
  const empty: readonly (readonly [string, QueryType])[] = [
    ['four', 'AAAA'],
    ['six', 'A'],
    ['none', 'A'],
    ['four', 'MX'],
    ['four', 'TXT'],
    ['four', 'SRV'],
    ['four', 'PTR'],
  ];
  for (const [name, type] of empty) {
    const got = ask(name, type);
    assert.deepEqual(got !== 'forward' && [got.code, got.answers, got.cut], [NOERROR, [], false], `${name} ${type}`);
  }
  assert.equal(ask('other', 'TXT'), 'forward');
});

test('ANY has the addresses of both families', () => {
  const { ask } = world([record(web, 'both', '10.0.0.2', 'fd00::2')]);
  assert.deepEqual(answers(ask('both', 'ANY')), ['10.0.0.2', 'fd00::2']);
});

test('links are names for names, for this client alone, and hide what they cover', () => {
  const records = [record(web, 'postgres', '10.0.0.9'), record(web, 'store', '10.0.0.5')];
  const { ask } = world(records, { links: { store: 'Postgres', gone: 'nobody' } });
  assert.deepEqual(answers(ask('STORE', 'A')), ['10.0.0.9']);
  assert.deepEqual(answers(ask('store.my_net', 'A')), ['10.0.0.9']);
  assert.deepEqual(answers(ask('postgres', 'A')), ['10.0.0.9']);
  assert.equal(ask('gone', 'A'), 'forward');
  assert.deepEqual(answers(world(records).ask('store', 'A')), ['10.0.0.5']);
});

test('each endpoint of an alias is first as often as the others', () => {
  const addresses = ['10.0.0.1', '10.0.0.2', '10.0.0.3'];
  const { ask, zones } = world(addresses.map((address, i) => record(web, `w${i} web`, address, `fd00::${i}`)));
  const first = new Map<string, number>();
  for (let i = 0; i < 300; i++) {
    const got = answers(ask('web', 'A'));
    assert.ok(typeof got !== 'string');
    assert.deepEqual(got.toSorted(), addresses);
    first.set(got[0] ?? '', (first.get(got[0] ?? '') ?? 0) + 1);
    // As the C library asks: both families in turn.
    ask('web', 'AAAA');
  }
  assert.deepEqual([...first.values()], [100, 100, 100]);
  zones.put({ ...record(web, 'w9 web', '10.0.0.9') });
  assert.equal(answers(ask('web', 'A')).length, 4);
});

test('PTR: the first name with the network, of what the client sees', () => {
  const { ask } = world([
    record(web, 'Web www', '10.0.0.2', 'fd00::2'),
    record(db, 'x', '10.1.0.2'),
    record(newId(), 'hidden', '10.9.0.2'),
  ]);
  const nibbles = `2${'0'.repeat(27)}00df`.split('').join('.');
  assert.deepEqual(answers(ask('2.0.0.10.in-addr.ARPA', 'PTR')), ['Web.My_Net']);
  assert.deepEqual(answers(ask(`${nibbles}.ip6.arpa`, 'PTR')), ['Web.My_Net']);
  assert.deepEqual(answers(ask('2.0.1.10.in-addr.arpa', 'PTR')), ['x.db.internal']);
  for (const name of [
    '3.0.0.10.in-addr.arpa',
    '2.0.9.10.in-addr.arpa',
    '0.0.10.in-addr.arpa',
    '02.0.0.10.in-addr.arpa',
    'x.0.0.10.in-addr.arpa',
    '2.0.0.10.in-addr.example',
    'in-addr.arpa',
    `g${nibbles.slice(1)}.ip6.arpa`,
    `22${nibbles.slice(1)}.ip6.arpa`,
  ]) {
    assert.equal(ask(name, 'PTR'), 'forward', name);
  }
});

test('what is refused, and how', () => {
  const { ask, raw } = world([record(web, 'web', '10.0.0.2')]);
  const code = (got: Read | 'forward'): number | string => (got === 'forward' ? got : got.code);
  assert.equal(code(ask('web', 'A', { class: 'CH' })), REFUSED);
  assert.equal(code(ask('web', 'AXFR')), NOTIMP);
  assert.equal(code(ask('web', 'A', { flags: 4 << 11 })), NOTIMP);
  const badvers = ask('web', 'A', { size: 1232, version: 1 });
  assert.ok(badvers !== 'forward');
  const [opt] = badvers.packet.additionals ?? [];
  assert.equal(opt?.type === 'OPT' && (opt.extendedRcode << 4) | badvers.code, BADVERS);
  const broken = raw(queryOf('web', 'A').subarray(0, 14));
  assert.ok(typeof broken !== 'string');
  assert.deepEqual([broken.length, readAnswer(broken).code], [12, FORMERR]);
  assert.equal(raw(queryOf('web', 'A').subarray(0, 11)), 'drop');
  const answer = queryOf('web', 'A');
  answer[2] = (answer[2] ?? 0) | (dnsFlag.QR >>> 8);
  assert.equal(raw(answer), 'drop');
});

test('an answer that does not fit is cut and says so; EDNS and TCP make room', () => {
  const many = Array.from({ length: 1000 }, (_, i) => record(web, 'many', `10.3.${i >> 8}.${i & 255}`));
  const { ask, raw } = world(many);
  const count = (options: QueryOptions): readonly [number, boolean] => {
    const got = ask('many', 'A', options);
    assert.ok(got !== 'forward');
    return [got.answers.length, got.cut];
  };
  // Header 12, question 10, OPT 11; 16 bytes an answer.
  assert.deepEqual(count({}), [30, true]);
  assert.deepEqual(count({ size: 100 }), [29, true]);
  assert.deepEqual(count({ size: 1232 }), [74, true]);
  assert.deepEqual(count({ size: 65535 }), [253, true]);
  const byTcp = raw(queryOf('many', 'A'), true);
  assert.ok(typeof byTcp !== 'string');
  assert.deepEqual([readAnswer(byTcp).answers.length, readAnswer(byTcp).cut], [1000, false]);
});

test('ten thousand names on a network: put, asked, moved, removed', () => {
  const records = Array.from({ length: 10_000 }, (_, i) => record(web, `web${i} all`, `10.${i >> 8}.${i & 255}.1`));
  const { ask, zones } = world(records);
  assert.equal(zones.size, 10_000);
  for (let i = 0; i < 10_000; i += 97) assert.deepEqual(answers(ask(`WEB${i}`, 'A')), [`10.${i >> 8}.${i & 255}.1`]);
  for (const [i, { endpoint }] of records.entries()) {
    if (i % 2 === 0) zones.remove(endpoint);
    else zones.put({ endpoint, network: web, names: [`new${i}`], addresses: [parseIp('10.99.0.1')] });
  }
  assert.equal(zones.size, 5000);
  assert.equal(ask('all', 'A'), 'forward');
  assert.equal(ask('web1', 'A'), 'forward');
  assert.deepEqual(answers(ask('new9999', 'A')), ['10.99.0.1']);
});

test('whatever is put and removed in whatever order, names lead where the last records say', () => {
  const ids = Array.from({ length: 6 }, () => newId());
  const step = fc.record({
    endpoint: fc.constantFrom(...ids),
    network: fc.constantFrom(web, db),
    names: fc.uniqueArray(fc.constantFrom('a', 'A', 'b', 'c.d', 'bad..name'), { minLength: 1 }),
    addresses: fc.uniqueArray(fc.constantFrom('10.0.0.1', '10.0.0.2', '10.0.0.3', 'fd00::1').map(parseIp)),
    remove: fc.boolean(),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
      const { ask, zones } = world([]);
      const model = new Map<Id, NameRecord>();
      for (const { remove, ...put } of steps) {
        if (remove) model.delete(put.endpoint);
        else model.set(put.endpoint, put);
        if (remove) zones.remove(put.endpoint);
        else zones.put(put);
      }
      for (const name of ['a', 'b', 'c.d']) {
        const holders = [...model.values()].filter(
          ({ network, names }) => network === web && names.some((n) => n.toLowerCase() === name),
        );
        const expected = holders.flatMap(({ addresses }) => addresses.filter((address) => !address.includes(':')));
        const got = ask(`${name}.my_net`, 'A');
        if (holders.length === 0) assert.equal(got, 'forward');
        else assert.deepEqual(got !== 'forward' && got.answers.toSorted(), expected.toSorted());
      }
    }),
    { numRuns: 300 },
  );
});

test('a hundred thousand malformed queries: whatever is answered is DNS, says no more than it may, and nothing is thrown', () => {
  const { raw } = world([record(web, 'web', '10.0.0.2', 'fd00::2'), record(web, 'w2 web', '10.0.0.3')]);
  const valid = [
    queryOf('web', 'A'),
    queryOf('WEB.my_net', 'ANY', { size: 1232 }),
    queryOf('2.0.0.10.in-addr.arpa', 'PTR'),
    queryOf('example.org', 'TXT', { size: 512, version: 0 }),
  ];
  let seed = 4;
  const random = (below: number): number => {
    seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
    return Math.floor((seed / 2 ** 32) * below);
  };
  const seen = { forward: 0, drop: 0, answered: 0 };
  for (let i = 0; i < 100_000; i++) {
    const bytes =
      i % 5 === 0 ? Buffer.from(Array.from({ length: random(90) }, () => random(256))) : Buffer.from(valid[i % 4] ?? []);
    if (i % 5 !== 0) for (let n = random(3); n >= 0; n--) bytes[random(bytes.length)] = random(256);
    const got = raw(i % 5 === 4 ? bytes.subarray(0, random(bytes.length + 1)) : bytes, i % 2 === 0);
    if (typeof got === 'string') {
      seen[got]++;
      continue;
    }
    assert.ok((got[2] ?? 0) & 0x80 && got.length <= 12 + 90 + 3 * 28 + 11);
    // The other decoder takes most of the time.
    if (seen.answered++ % 16 > 0) continue;
    const { packet, answers: data } = readAnswer(got);
    assert.ok(packet.flag_qr && data.length <= 3);
  }
  assert.ok(seen.forward > 1000 && seen.drop > 1000 && seen.answered > 1000, JSON.stringify(seen));
});
