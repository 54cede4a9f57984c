/** What the resolver does with servers that are dead, slow, wrong, or lie. Each is a real one, on the host's loopback. */
import assert from 'node:assert/strict';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { test } from 'node:test';
import { encode } from 'dns-packet';
import type { Resolver, Upstream } from '../../src/contracts/resolver.ts';
import { FORMERR, NXDOMAIN, NOERROR, queryOf, REFUSED, SERVFAIL } from '../../src/dns/messages.testing.ts';
import { dnsFlag } from '../../src/wire/dns.ts';
import {
  addressTo,
  answerTo,
  Asker,
  clientOf,
  dig,
  type Heard,
  record,
  resolver,
  sandbox,
  short,
  status,
  Stream,
  type UpstreamServer,
  upstreamServer,
} from './dns-lab.ts';
import type { Place } from './packets.ts';

const GOOD = '192.0.2.1';
const BAD = '203.0.113.66';

interface Lab extends AsyncDisposable {
  readonly place: Place;
  readonly names: Resolver;
  readonly server: (behave: (heard: Heard) => void, options?: { readonly tcp?: boolean }) => Promise<UpstreamServer>;
  readonly use: (...servers: readonly (UpstreamServer | Upstream)[]) => Promise<void>;
}

let used = 0;

async function lab(): Promise<Lab> {
  await using stack = new AsyncDisposableStack();
  const place = await sandbox(stack, `dns-up${used}`);
  const names = await resolver(stack);
  const client = clientOf(place);
  const owned = stack.move();
  return {
    place,
    names,
    server: async (behave, options) => owned.use(await upstreamServer(`127.0.5.${++used}`, behave, options)),
    use: (...servers) =>
      names.serve([{ ...client, upstreams: servers.map((server) => ('upstream' in server ? server.upstream : server)) }]),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

const good = (heard: Heard): void => heard.reply(addressTo(heard, GOOD));
const silent = (): void => {};
const failing =
  (code: number) =>
  (heard: Heard): void =>
    heard.reply(answerTo(heard, {}, code));

test('what is not ours is asked, as it was asked, and the answer is the server’s', async () => {
  await using world = await lab();
  const { place, use, names } = world;
  const server = await world.server((heard) =>
    heard.reply(
      answerTo(heard, {
        flags: dnsFlag.AA,
        answers: [
          { type: 'CNAME', name: heard.query.name, ttl: 33, data: 'y.example' },
          { type: 'TXT', name: 'y.example', ttl: 44, data: 'some text' },
        ],
      }),
    ),
  );
  await use(server);
  names.put([record('web', '10.9.0.2')]);
  const text = await dig(place, 'X.Example', 'TXT');
  assert.match(text, /^X\.Example\.\s+33\s+IN\s+CNAME\s+y\.example\.$/m);
  assert.match(text, /^y\.example\.\s+44\s+IN\s+TXT\s+"some text"$/m);
  assert.match(text, /flags: qr aa rd ra;/);
  assert.deepEqual(await short(place, 'web'), ['10.9.0.2']);
  assert.equal(await status(place, 'web', 'AAAA'), 'NOERROR');
  assert.deepEqual(
    server.heard.map(({ query }) => query.name),
    ['X.Example'],
    'own names stay here',
  );
  assert.ok(server.heard[0]?.query.packet.flag_rd);
});

test('by TCP as well, and an address that nobody here has', async () => {
  await using world = await lab();
  const server = await world.server(good);
  await world.use(server);
  assert.deepEqual(await short(world.place, '+tcp', 'x.example'), [GOOD]);
  assert.equal(server.heard[0]?.tcp, false);
  await dig(world.place, '-x', '192.0.2.77');
  assert.equal(server.heard.at(-1)?.query.name, '77.2.0.192.in-addr.arpa');
});

test('a dead server: the next one is asked, and soon at once', async () => {
  await using world = await lab();
  const [dead, alive] = [await world.server(silent), await world.server(good)];
  await world.use(dead, alive);
  for (let i = 0, before = -1; dead.heard.length !== before; i++) {
    before = dead.heard.length;
    assert.deepEqual(await short(world.place, `x${i}.example`), [GOOD]);
  }
  // It does not get new questions while it is taken for dead, and old ones not again.
  assert.ok(dead.heard.length > 0);
  await world.use(dead);
  assert.equal(await status(world.place, 'alone.example'), 'SERVFAIL', 'but who has no other asks it all the same');
});

test('a no counts only when the servers before have had their time', async () => {
  await using world = await lab();
  const held: Heard[] = [];
  const [company, other] = [await world.server((heard) => void held.push(heard)), await world.server(failing(NXDOMAIN))];
  await world.use(company, other);
  const answer = short(world.place, 'intranet.example');
  await other.atLeast(1);
  // Whoever asks for something else now is not kept waiting: the resolver has heard the no before that.
  await world.names.status();
  for (const heard of held) good(heard);
  assert.deepEqual(await answer, [GOOD]);
  // One that says nothing at all is not waited for until the end.
  const dead = await world.server(silent);
  await world.use(dead, other);
  assert.equal(await status(world.place, 'nothing.example'), 'NXDOMAIN');
  // Nor one that cannot.
  const broken = await world.server(failing(SERVFAIL));
  await world.use(broken, other);
  assert.equal(await status(world.place, 'nothing2.example'), 'NXDOMAIN');
});

test('a server that works is the only one asked', async () => {
  await using world = await lab();
  const [first, second] = [await world.server(good), await world.server(good)];
  await world.use(first, second);
  for (let i = 0; i < 5; i++) await short(world.place, `x${i}.example`);
  assert.equal(first.heard.length, 5);
  // On a busy machine fifty milliseconds may pass, but not each time.
  assert.ok(second.heard.length < 5);
});

test('nobody listens there, no way there, and those who cannot: the next one is asked', async () => {
  await using world = await lab();
  const last = await world.server(good);
  const gone = await world.server(silent);
  await gone[Symbol.asyncDispose]();
  const [servfail, refused] = [await world.server(failing(SERVFAIL)), await world.server(failing(REFUSED))];
  await world.use(servfail, refused, last);
  assert.deepEqual(await short(world.place, 'a.example'), [GOOD]);
  const unreachable: Upstream = { ...gone.upstream, address: '198.51.100.9' as typeof gone.upstream.address };
  await world.use(gone, unreachable, last);
  assert.deepEqual(await short(world.place, 'b.example'), [GOOD]);
  await world.use(gone, servfail, refused);
  assert.equal(await status(world.place, 'c.example'), 'SERVFAIL');
  await world.use(gone, unreachable);
  assert.equal(await status(world.place, '+tcp', 'd.example'), 'SERVFAIL');
});

test('a fourth server is not asked, as in Docker and the C library', async () => {
  await using world = await lab();
  const fourth = await world.server(good);
  const others = await Promise.all([1, 2, 3].map(() => world.server(failing(SERVFAIL))));
  await world.use(...others, fourth);
  assert.equal(await status(world.place, 'x.example'), 'SERVFAIL');
  assert.deepEqual(
    [...others, fourth].map(({ heard }) => heard.length),
    [1, 1, 1, 0],
  );
});

test('NXDOMAIN is an answer', async () => {
  await using world = await lab();
  const [no, other] = [await world.server(failing(NXDOMAIN)), await world.server(silent)];
  await world.use(no, other);
  assert.equal(await status(world.place, 'x.example'), 'NXDOMAIN');
});

test('a lost query is asked again, and servers that never answer end in SERVFAIL', async () => {
  await using world = await lab();
  let lost = 0;
  const server = await world.server((heard) => (lost++ === 0 ? undefined : good(heard)));
  await world.use(server);
  assert.deepEqual(await short(world.place, 'x.example'), [GOOD]);
  const dead = await world.server(silent);
  await world.use(dead);
  assert.equal(await status(world.place, 'y.example'), 'SERVFAIL');
  assert.ok(dead.heard.length > 1 && dead.heard.length <= 3, `asked ${dead.heard.length} times`);
  assert.equal(new Set(dead.heard.map(({ query, from }) => `${query.id} ${from.port}`)).size, 1, 'the same question');
});

test('answers that are none are not believed', async () => {
  await using world = await lab();
  const stranger = createSocket('udp4');
  stranger.bind(0, '127.0.6.6');
  await once(stranger, 'listening');
  const liar = await world.server((heard) => {
    const lie = addressTo(heard, BAD);
    const change = (at: number): Buffer => {
      const copy = Buffer.from(lie);
      copy[at] = (copy[at] ?? 0) ^ 1;
      return copy;
    };
    stranger.send(lie, heard.from.port, heard.from.address);
    heard.reply(change(1)); // the id
    heard.reply(change(13)); // a letter of the name
    heard.reply(change(12 + 11 + 1)); // the type
    heard.reply(heard.bytes); // the query itself
    heard.reply(lie.subarray(0, 7));
    heard.reply(Buffer.alloc(0));
    heard.reply(encode({ type: 'response', id: heard.query.id, answers: [{ type: 'A', name: 'x.example', data: BAD }] }));
    good(heard);
  });
  await world.use(liar);
  assert.deepEqual(await short(world.place, 'x.example'), [GOOD]);
  // What was lied is not remembered either.
  assert.deepEqual(await short(world.place, 'x.example'), [GOOD]);
  stranger.close();
});

test('a server that only lies, or sends broken records, is passed over', async () => {
  await using world = await lab();
  const guesser = await world.server((heard) => {
    for (let i = 1; i < 200; i++) {
      const lie = addressTo(heard, BAD);
      lie.writeUInt16BE((heard.query.id + i) & 0xffff);
      heard.reply(lie);
    }
  });
  const broken = await world.server((heard) => heard.reply(addressTo(heard, BAD).subarray(0, -2)));
  const last = await world.server(good);
  await world.use(guesser, broken, last);
  assert.deepEqual(await short(world.place, 'x.example'), [GOOD]);
});

test('ids and ports cannot be guessed from those before', async () => {
  await using world = await lab();
  const server = await world.server(good);
  await world.use(server);
  using asker = new Asker(world.place);
  for (let i = 0; i < 200; i++) await asker.ask(queryOf(`x${i}.example`, 'A', { id: i }));
  const distinct = (values: readonly number[]): number => new Set(values).size;
  const ids = server.heard.map(({ query }) => query.id);
  const ports = server.heard.map(({ from }) => from.port);
  // Of 65,536 ids and 28,000 ports, 200 random ones meet once or twice.
  assert.ok(distinct(ids) > 190 && distinct(ports) > 190, `${distinct(ids)} ids, ${distinct(ports)} ports`);
  const steps = ids.slice(1).map((id, i) => (id - (ids[i] ?? 0) + 65536) & 0xffff);
  assert.ok(distinct(steps) > 190);
});

test('an answer that was cut is asked for by TCP, whole for who can take it', async () => {
  await using world = await lab();
  const many = Array.from(
    { length: 300 },
    (_, i) => ({ type: 'A', name: 'x.example', ttl: 60, data: `192.0.2.${i % 256}` }) as const,
  );
  const server = await world.server((heard) =>
    heard.reply(heard.tcp ? answerTo(heard, { answers: many }) : answerTo(heard, { flags: dnsFlag.TC })),
  );
  await world.use(server);
  const text = await dig(world.place, '+tcp', 'x.example');
  assert.match(text, /ANSWER: 300,/);
  assert.doesNotMatch(text, /flags:[^;]* tc/);
  assert.deepEqual(
    server.heard.map(({ tcp }) => tcp),
    [false, true],
  );
  const cut = await dig(world.place, '+ignore', 'x.example');
  assert.match(cut, /flags: qr tc rd ra; QUERY: 1, ANSWER: 0,/);
  // dig's own way: UDP, then TCP.
  assert.match(await dig(world.place, 'x.example'), /ANSWER: 300,/);
});

test('a cut answer of a server without TCP is better than none', async () => {
  await using world = await lab();
  const server = await world.server(
    (heard) => heard.reply(answerTo(heard, { flags: dnsFlag.TC, answers: [{ type: 'A', name: heard.query.name, data: GOOD }] })),
    { tcp: false },
  );
  await world.use(server);
  assert.match(await dig(world.place, '+ignore', 'x.example'), /flags: qr tc rd ra; QUERY: 1, ANSWER: 1,/);
});

test('who has no EDNS gets no more than 512 bytes', async () => {
  await using world = await lab();
  const server = await world.server((heard) =>
    heard.reply(
      answerTo(heard, {
        answers: Array.from({ length: 60 }, (_, i) => ({ type: 'A', name: heard.query.name, data: `192.0.2.${i}` })),
      }),
    ),
  );
  await world.use(server);
  assert.match(await dig(world.place, '+ignore', '+noedns', 'x.example'), /flags: qr tc rd ra; QUERY: 1, ANSWER: 0,/);
  assert.match(await dig(world.place, '+ignore', '+bufsize=4096', 'x.example'), /flags: qr rd ra; QUERY: 1, ANSWER: 60,/);
});

test('a server that does not know EDNS is asked without', async () => {
  await using world = await lab();
  const server = await world.server((heard) => {
    if ((heard.query.packet.additionals ?? []).length === 0) return good(heard);
    // Without the question, as some do.
    heard.reply(encode({ type: 'response', id: heard.query.id, flags: dnsFlag.RD | FORMERR }).fill(0x81, 3, 4));
  });
  await world.use(server);
  assert.deepEqual(await short(world.place, '+edns=0', 'x.example'), [GOOD]);
  assert.equal(server.heard.length, 2);
});

test('who asks the same at the same time shares one question, each gets his own id and letters', async () => {
  await using world = await lab();
  const held: Heard[] = [];
  const server = await world.server((heard) => void held.push(heard));
  await world.use(server);
  using askers = new DisposableStack();
  const spellings = ['x.example', 'X.example', 'x.EXAMPLE', 'X.ExAmPlE'];
  const all = Array.from({ length: 40 }, () => askers.use(new Asker(world.place)));
  const answers = all.map((asker, i) => asker.ask(queryOf(spellings[i % 4] ?? '', 'A', { id: 1000 + i })));
  await server.atLeast(1);
  // Behind all of those.
  using last = new Asker(world.place);
  const marker = last.ask(queryOf('marker.example', 'A'));
  await server.atLeast(2);
  for (const heard of held) good(heard);
  await marker;
  for (const [i, answer] of (await Promise.all(answers)).entries()) {
    assert.deepEqual([answer.id, answer.name, answer.answers], [1000 + i, spellings[i % 4], [GOOD]]);
  }
  // One that takes a second may be repeated, which is the same question.
  const questions = new Set(server.heard.map(({ query }) => `${query.name.toLowerCase()} ${query.id}`));
  assert.deepEqual(
    [...questions].map((question) => question.split(' ')[0]),
    ['x.example', 'marker.example'],
  );
});

test('answers are kept while they are true, also those that say no, apart by type and by servers', async () => {
  await using world = await lab();
  const soa = { mname: 'ns.example', rname: 'root.example', serial: 1, refresh: 2, retry: 3, expire: 4, minimum: 60 };
  const behave = (heard: Heard): void => {
    if (heard.query.name.startsWith('no')) {
      heard.reply(answerTo(heard, { authorities: [{ type: 'SOA', name: 'example', ttl: 60, data: soa }] }, NXDOMAIN));
    } else if (heard.query.name.startsWith('zero')) heard.reply(addressTo(heard, GOOD, 0));
    else good(heard);
  };
  const [server, other] = [await world.server(behave), await world.server(behave)];
  await world.use(server);
  for (let i = 0; i < 3; i++) {
    assert.deepEqual(await short(world.place, 'x.example'), [GOOD]);
    assert.equal(await status(world.place, 'no.example'), 'NXDOMAIN');
  }
  assert.equal(server.heard.length, 2);
  for (let i = 0; i < 3; i++) await short(world.place, 'zero.example');
  assert.equal(server.heard.length, 5);
  await short(world.place, 'X.EXAMPLE');
  assert.equal(server.heard.length, 5);
  await dig(world.place, 'x.example', 'TXT');
  assert.equal(server.heard.length, 6);
  await world.use(other);
  assert.deepEqual(await short(world.place, 'x.example'), [GOOD]);
  assert.equal(other.heard.length, 1);
});

test('queries in flight have a bound: one more is told SERVFAIL at once', async () => {
  await using world = await lab();
  const held: Heard[] = [];
  const server = await world.server((heard) => void held.push(heard));
  await world.use(server);
  using asker = new Asker(world.place);
  const first = asker.next();
  for (let i = 0; i < 257; i++) asker.send(queryOf(`x${i}.example`, 'A', { id: i }));
  // The first answer of all is that of the last query.
  const { id, code } = await first;
  assert.deepEqual([id, code], [256, SERVFAIL]);
  await server.atLeast(256);
  const rest = Array.from({ length: 256 }, () => asker.next());
  for (const heard of held.slice(0, 256)) good(heard);
  const codes = (await Promise.all(rest)).map((answer) => answer.code);
  assert.ok(codes.every((value) => value === NOERROR));
  assert.equal((await world.names.status()).dropped, 1);
});

test('with ndots, an unknown name without a dot is empty at once; without, it is asked', async () => {
  await using world = await lab();
  const server = await world.server(good);
  const client = clientOf(world.place, { upstreams: [server.upstream] });
  await world.names.serve([client]);
  assert.deepEqual(await short(world.place, 'single'), [GOOD]);
  await world.names.serve([{ ...client, ndots: true }]);
  assert.equal(await status(world.place, 'single2'), 'NOERROR');
  assert.equal(server.heard.length, 1);
  assert.deepEqual(await short(world.place, 'two.labels'), [GOOD]);
});

test('a client that is stopped while a server thinks harms nobody', async () => {
  await using world = await lab();
  const held: Heard[] = [];
  const server = await world.server((heard) => void held.push(heard));
  const client = clientOf(world.place, { upstreams: [server.upstream] });
  await world.names.serve([client]);
  using asker = new Asker(world.place);
  using stream = new Stream(world.place);
  asker.send(queryOf('x.example', 'A'));
  stream.query(queryOf('y.example', 'A'));
  await server.atLeast(2);
  await world.names.stop([client.sandbox]);
  for (const heard of held) good(heard);
  assert.equal(await stream.next(), null);
  await world.names.serve([client]);
  server.heard.length = 0;
  const answer = short(world.place, 'z.example');
  await server.atLeast(1);
  for (const heard of server.heard) good(heard);
  assert.deepEqual(await answer, [GOOD]);
});
