/** DNS messages, against another implementation of the format (dns-packet). */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type DecodedPacket, decode, encode } from 'dns-packet';
import fc from 'fast-check';
import { CLASS_IN, dnsFlag, dnsType, HEADER, Question, rcode, records, sameName, skipName, soaMinimum, wireName } from './dns.ts';
import { Answer } from './dns-answer.ts';

const label = fc.string({ unit: fc.constantFrom(...'abcxyzABCXYZ019-_'.split('')), minLength: 1, maxLength: 20 });
const name = fc.array(label, { minLength: 1, maxLength: 8 }).map((labels) => labels.join('.'));
const types = fc.constantFrom('A', 'AAAA', 'PTR', 'TXT', 'MX', 'SOA', 'SRV', 'ANY') satisfies fc.Arbitrary<string>;
const NUMBERS = { A: 1, AAAA: 28, PTR: 12, TXT: 16, MX: 15, SOA: 6, SRV: 33, ANY: 255 } as const;
/** `encode` takes 0 for its own default. */
const opt = fc.record({ size: fc.integer({ min: 1, max: 65535 }), dnssec: fc.boolean() });

const query = fc.record({
  id: fc.integer({ min: 0, max: 65535 }),
  name,
  type: types,
  recursion: fc.boolean(),
  edns: fc.option(opt),
});
type Query = typeof query extends fc.Arbitrary<infer T> ? T : never;

const bytesOf = ({ id, name, type, recursion, edns }: Query): Buffer =>
  encode({
    type: 'query',
    id,
    flags: recursion ? dnsFlag.RD : 0,
    questions: [{ name, type: type as 'A', class: 'IN' }],
    additionals:
      edns === null
        ? []
        : [
            {
              type: 'OPT',
              name: '.',
              udpPayloadSize: edns.size,
              extendedRcode: 0,
              ednsVersion: 0,
              flags: edns.dnssec ? 0x8000 : 0,
              flag_do: edns.dnssec,
              options: [],
            },
          ],
  });

test('a query is read as it was written', () => {
  const question = new Question();
  fc.assert(
    fc.property(query, fc.integer({ min: 0, max: 40 }), (asked, start) => {
      const message = bytesOf(asked);
      const bytes = Buffer.concat([Buffer.alloc(start, 0xff), message, Buffer.alloc(7, 0xff)]);
      assert.equal(question.read(bytes, start, start + message.length), 'ok');
      assert.equal(question.id, asked.id);
      assert.equal(question.flags & dnsFlag.RD, asked.recursion ? dnsFlag.RD : 0);
      assert.equal(question.type, NUMBERS[asked.type]);
      assert.equal(question.class, CLASS_IN);
      assert.equal(question.edns, asked.edns !== null);
      assert.equal(question.size, Math.max(512, asked.edns?.size ?? 0));
      assert.equal(question.ednsFlags, asked.edns?.dnssec ? 0x8000 : 0);
      assert.equal(question.labels, asked.name.split('.').length);
      const wire = wireName(asked.name.toUpperCase());
      assert.ok(wire !== null);
      assert.equal(question.hashes[question.labels], wire.hash);
      assert.equal(question.starts[question.labels], wire.wire.length);
      assert.ok(sameName(bytes, start + HEADER, wire.lower));
      assert.equal(question.end, HEADER + wire.wire.length + 5);
    }),
    { numRuns: 500 },
  );
});

test('the first labels of a name have the hash of the name that they are', () => {
  const question = new Question();
  fc.assert(
    fc.property(query, (asked) => {
      const message = bytesOf(asked);
      assert.equal(question.read(message, 0, message.length), 'ok');
      asked.name.split('.').forEach((_, i, labels) => {
        const prefix = wireName(labels.slice(0, i + 1).join('.'));
        assert.equal(question.hashes[i + 1], prefix?.hash);
        assert.equal(question.starts[i + 1], prefix?.wire.length);
      });
    }),
  );
});

test('an answer reads as it was meant, and takes no more than its room', () => {
  const question = new Question();
  const answer = new Answer({ ttl: 600, ednsSize: 4096 });
  const v4 = fc.array(fc.integer({ min: 0, max: 0xffffffff }), { maxLength: 60 });
  fc.assert(
    fc.property(query, v4, fc.integer({ min: 512, max: 4096 }), (asked, addresses, room) => {
      const message = bytesOf(asked);
      const place = new Uint8Array(8192).fill(0xee);
      place.set(message, 100);
      assert.equal(question.read(place, 100, 100 + message.length), 'ok');
      answer.bytes = place;
      answer.start = 100;
      answer.open(question, room);
      const written = addresses.filter((address) => answer.a(address));
      const length = answer.close(rcode.NXDOMAIN);
      assert.ok(length <= room);
      assert.ok(place.subarray(100 + Math.max(length, message.length)).every((byte) => byte === 0xee));
      const got: DecodedPacket = decode(Buffer.from(place.subarray(100, 100 + length)));
      assert.equal(got.id, asked.id);
      assert.equal((got.flags ?? 0) & 15, rcode.NXDOMAIN);
      assert.ok(got.flag_qr && got.flag_ra && !got.flag_aa);
      assert.equal(got.flag_rd, asked.recursion);
      assert.equal(got.flag_tc, written.length < addresses.length);
      assert.equal(got.questions?.[0]?.name, asked.name);
      assert.deepEqual(
        got.answers?.map((record) => record.type === 'A' && [record.name, record.ttl, record.data]),
        written.map((value) => [asked.name, 600, [24, 16, 8, 0].map((shift) => (value >>> shift) & 255).join('.')]),
      );
      assert.equal(got.additionals?.length, asked.edns === null ? 0 : 1);
      const [record] = got.additionals ?? [];
      if (record?.type === 'OPT') assert.deepEqual([record.udpPayloadSize, record.flag_do], [4096, asked.edns?.dnssec]);
    }),
    { numRuns: 300 },
  );
});

test('records of other servers are found with their TTLs, through compressed names', () => {
  fc.assert(
    fc.property(name, fc.array(fc.integer({ min: 0, max: 0x7fffffff }), { minLength: 1, maxLength: 9 }), (owner, ttls) => {
      const bytes = encode({
        type: 'response',
        questions: [{ name: owner, type: 'A' }],
        answers: ttls.map((ttl) => ({ type: 'A' as const, name: owner, ttl, data: '192.0.2.1' })),
        authorities: [
          {
            type: 'SOA',
            name: 'example',
            ttl: 77,
            data: { mname: 'a', rname: 'b', serial: 1, refresh: 2, retry: 3, expire: 4, minimum: 555 },
          },
        ],
      });
      const question = new Question();
      assert.ok(question.readQuestion(bytes, 0, bytes.length));
      const found = records(bytes, question.end);
      assert.deepEqual(
        found?.map(({ section, type, ttl }) => [section, type, ttl]),
        [...ttls.map((ttl) => ['answer', dnsType.A, ttl]), ['authority', dnsType.SOA, 77]],
      );
      const soa = found?.at(-1);
      assert.equal(soa && soaMinimum(bytes, soa), 555);
      assert.equal(found && soa && bytes.readUInt32BE(soa.ttlAt), 77);
    }),
  );
});

/** A query for `a.` with the part from byte 2 on as given. */
const raw = (hex: string): Uint8Array => Buffer.from(`1234${hex.replaceAll(' ', '')}`, 'hex');

test('what is no query is told apart', () => {
  const question = new Question();
  const verdict = (hex: string): string => {
    const bytes = raw(hex);
    return question.read(bytes, 0, bytes.length);
  };
  const counts = '0001 0000 0000 0000';
  const a = '01 61 00 0001 0001';
  assert.equal(verdict(`0100 ${counts} ${a}`), 'ok');
  assert.equal(verdict('0100 0001 0000 0000 00'), 'drop', 'eleven bytes');
  assert.equal(verdict(`8100 ${counts} ${a}`), 'drop', 'an answer');
  assert.equal(verdict(`2900 ${counts} ${a}`), 'notimp', 'UPDATE');
  assert.equal(verdict('0100 0000 0000 0000 0000'), 'formerr', 'no question');
  assert.equal(verdict(`0100 0002 0000 0000 0000 ${a} ${a}`), 'formerr', 'two questions');
  assert.equal(verdict(`0100 ${counts} c00c 0001 0001`), 'formerr', 'a name that points to itself');
  assert.equal(verdict(`0100 ${counts} 01 61 c00c 0001 0001`), 'formerr', 'a name that goes in circles');
  assert.equal(verdict(`0100 ${counts} c020 0001 0001`), 'formerr', 'a name that points ahead');
  assert.equal(verdict(`0100 ${counts} 41 61 00 0001 0001`), 'formerr', 'a label of 65 bytes');
  assert.equal(verdict(`0100 ${counts} 02 00 ff 00 0001 0001`), 'ok', 'any byte may be in a label');
  assert.equal(verdict(`0100 ${counts} 07 61 00 0001 0001`), 'formerr', 'a label beyond the end');
  assert.equal(verdict(`0100 ${counts} 01 61 00 0001 00`), 'formerr', 'half a class');
  assert.equal(verdict(`0100 ${counts} ${'3f'.padEnd(128, '61').repeat(4)} 00 0001 0001`), 'formerr', 'a name of 257 bytes');
  const most = `${'3f'.padEnd(128, '61').repeat(3)}3d${'61'.repeat(61)}00`;
  assert.equal(verdict(`0100 ${counts} ${most} 0001 0001`), 'ok', 'a name of 255 bytes');
  assert.equal(verdict(`0100 ${counts} ${'0161'.repeat(127)}00 0001 0001`), 'ok', '127 labels');
  assert.equal(verdict(`0100 ${counts} ${'0161'.repeat(128)}00 0001 0001`), 'formerr', '128 labels');
  const opts = (count: string, ...records: readonly string[]): string => `0100 0001 0000 0000 ${count} ${a} ${records.join('')}`;
  assert.equal(verdict(opts('0001', '00 0029 1000 00 00 0000 0000')), 'ok');
  assert.equal(verdict(opts('0001', '00 0029 1000 00 01 0000 0000')), 'badvers');
  assert.equal(verdict(opts('0002', ...Array<string>(2).fill('00 0029 1000 00 00 0000 0000'))), 'formerr', 'two OPT');
  assert.equal(verdict(opts('0001', '0161 00 0029 1000 00 00 0000 0000')), 'formerr', 'OPT with a name');
  assert.equal(verdict(opts('0001', '00 0029 1000 00 00 0000 0004')), 'formerr', 'OPT beyond the end');
  assert.equal(verdict(opts('0001')), 'formerr', 'OPT that is announced and missing');
  assert.equal(verdict(opts('0003')), 'formerr');
});

test('names that no question can have', () => {
  for (const text of ['', '.', 'a..b', '.a', 'x'.repeat(64), Array<string>(64).fill('abc').join('.')]) {
    assert.equal(wireName(text), null, text);
  }
  assert.deepEqual(wireName('a.b.')?.wire, wireName('a.b')?.wire);
});

test('a hundred thousand packets that are no DNS, or DNS with errors: nothing is thrown, nothing read beyond the end', () => {
  const question = new Question();
  const valid = [...fc.sample(query, { numRuns: 50, seed: 4 })].map(bytesOf);
  const verdicts = new Map<string, number>();
  let seed = 20261130;
  const random = (below: number): number => {
    seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
    return Math.floor((seed / 2 ** 32) * below);
  };
  for (let i = 0; i < 100_000; i++) {
    const bytes =
      i % 4 === 0
        ? Buffer.from(Array.from({ length: random(80) }, () => random(256)))
        : Buffer.from(valid[random(valid.length)] ?? []);
    if (i % 4 !== 0) for (let n = random(4); n >= 0 && bytes.length > 0; n--) bytes[random(bytes.length)] = random(256);
    const end = i % 4 === 3 ? random(bytes.length + 1) : bytes.length;
    const verdict = question.read(bytes, 0, end);
    assert.ok(question.end <= Math.max(end, HEADER), `end ${question.end} of ${end}`);
    verdicts.set(verdict, (verdicts.get(verdict) ?? 0) + 1);
    const found = records(bytes, HEADER);
    for (const { dataAt, length } of found ?? []) assert.ok(dataAt + length <= bytes.length);
    const skipped = skipName(bytes, random(bytes.length + 1), bytes.length);
    assert.ok(skipped <= bytes.length);
  }
  // The corpus reaches each way out.
  assert.deepEqual([...verdicts.keys()].toSorted(), ['badvers', 'drop', 'formerr', 'notimp', 'ok']);
});
