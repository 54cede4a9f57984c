import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Answer, encode, type Packet } from 'dns-packet';
import { HEADER } from '../wire/dns.ts';
import { Cache } from './cache.ts';
import { NXDOMAIN, readAnswer, SERVFAIL } from './messages.testing.ts';

const QUESTION = { name: 'x.example', type: 'A' } as const;
const QUESTION_END = HEADER + 11 + 4;

const answer = (ttl: number, data = '192.0.2.1'): Answer => ({ type: 'A', name: QUESTION.name, ttl, data });
const soa = (ttl: number, minimum: number): Answer => ({
  type: 'SOA',
  name: 'example',
  ttl,
  data: { mname: 'ns.example', rname: 'root.example', serial: 1, refresh: 2, retry: 3, expire: 4, minimum },
});

const message = (part: Packet, code = 0): Uint8Array => {
  const bytes = encode({ type: 'response', questions: [QUESTION], ...part });
  bytes[3] = (bytes[3] ?? 0) | code;
  return bytes;
};

/** @returns seconds after which it is gone; null: it was not kept */
function kept(bytes: Uint8Array): number | null {
  const cache = new Cache();
  cache.put('k', bytes, { questionEnd: QUESTION_END, now: 1000 });
  if (cache.get('k', 1000) === null) return null;
  let low = 0;
  let high = 100_000;
  while (high - low > 1) {
    const middle = Math.floor((low + high) / 2);
    const copy = new Cache();
    copy.put('k', bytes, { questionEnd: QUESTION_END, now: 1000 });
    if (copy.get('k', 1000 + middle * 1000) === null) high = middle;
    else low = middle;
  }
  return high;
}

test('an answer is kept as long as its shortest TTL, at most an hour', () => {
  assert.equal(kept(message({ answers: [answer(300), answer(60, '192.0.2.2')] })), 60);
  assert.equal(kept(message({ answers: [answer(86_400)] })), 3600);
  assert.equal(kept(message({ answers: [answer(0)] })), null);
  assert.equal(kept(message({ answers: [answer(2 ** 31)] })), null, 'RFC 2181: the upper bit means 0');
});

test('what does not exist is kept by the SOA, at most five minutes, and not without one', () => {
  assert.equal(kept(message({ authorities: [soa(3600, 120)] }, NXDOMAIN)), 120);
  assert.equal(kept(message({ authorities: [soa(60, 120)] }, NXDOMAIN)), 60);
  assert.equal(kept(message({ authorities: [soa(86_400, 86_400)] })), 300);
  assert.equal(kept(message({}, NXDOMAIN)), null);
  assert.equal(kept(message({})), null);
  const cname: Answer = { type: 'CNAME', name: QUESTION.name, ttl: 30, data: 'y.example' };
  assert.equal(kept(message({ answers: [cname], authorities: [soa(600, 600)] })), 30);
});

test('failures, broken messages and very long ones are not kept', () => {
  assert.equal(kept(message({ answers: [answer(60)] }, SERVFAIL)), null);
  assert.equal(kept(message({ answers: [answer(60)] }).subarray(0, QUESTION_END + 8)), null);
  assert.equal(kept(message({ answers: Array.from({ length: 300 }, (_, i) => answer(60, `192.0.2.${i % 256}`)) })), null);
});

test('TTLs grow less with age, and that of OPT is none', () => {
  const cache = new Cache();
  const bytes = message({
    answers: [answer(100), answer(50, '192.0.2.2')],
    additionals: [
      {
        type: 'OPT',
        name: '.',
        udpPayloadSize: 1232,
        extendedRcode: 0,
        ednsVersion: 0,
        flags: 0x8000,
        flag_do: true,
        options: [],
      },
    ],
  });
  cache.put('k', bytes, { questionEnd: QUESTION_END, now: 0 });
  const got = cache.get('k', 30_500);
  assert.ok(got !== null);
  const { packet } = readAnswer(got);
  assert.deepEqual(
    packet.answers?.map((record) => record.type === 'A' && record.ttl),
    [70, 20],
  );
  assert.ok(packet.additionals?.[0]?.type === 'OPT' && packet.additionals[0].flag_do);
  got.fill(0);
  assert.notDeepEqual(cache.get('k', 30_500), got, 'what was given out is a copy');
});

test('the cache has an end: entries and bytes, those not asked for first', () => {
  const cache = new Cache();
  const put = (key: string, part: Packet): void => cache.put(key, message(part), { questionEnd: QUESTION_END, now: 0 });
  for (let i = 0; i < 5000; i++) {
    put(`${i}`, { answers: [answer(60)] });
    assert.ok(cache.get('0', 0) !== null, 'what is asked for stays');
  }
  assert.equal(cache.size, 4096);
  assert.equal(cache.get('1', 0), null);
  assert.ok(cache.get('4999', 0) !== null);
  const long = Array.from({ length: 150 }, (_, i) => answer(60, `192.0.2.${i}`));
  const { length } = message({ answers: long });
  for (let i = 0; i < 5000; i++) put(`long ${i}`, { answers: long });
  assert.ok(cache.size * length <= (4 << 20) + length && cache.size > 1000, `${cache.size} of ${length} bytes`);
});
