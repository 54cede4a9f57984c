/** The checks of a host, in virtual time, on a network that the test is. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type IpAddress, parseIp } from '../base/ip.ts';
import { Prober } from './prober.ts';

const A = parseIp('10.9.0.2');
const B = parseIp('10.9.0.3');

/** Who answers: packets up to a size, in this many milliseconds; and which datagrams. */
interface Host {
  mtu: number;
  /** Routers say what they take. */
  tells?: boolean;
  left?: boolean;
  made?: boolean;
}

class Net {
  readonly hosts = new Map<IpAddress, Host>();
  readonly told: string[] = [];
  now = 0;
  sent = 0;
  readonly prober: Prober;
  readonly #coming: { readonly at: number; readonly deliver: () => void }[] = [];

  constructor(known: ConstructorParameters<typeof Prober>[1] = {}) {
    this.prober = new Prober(
      {
        echo: (address, { sequence, size }) => {
          this.sent++;
          const host = this.hosts.get(address);
          if (host === undefined) return true;
          if (size <= host.mtu) this.#later(() => this.prober.heard({ type: 'reply', id: 1, sequence }, address, this.now));
          else if (host.tells === true)
            this.#later(() =>
              this.prober.heard({ type: 'too-big', id: 1, sequence, mtu: host.mtu }, parseIp('10.9.0.254'), this.now),
            );
          return true;
        },
        datagrams: (address, port) => {
          const host = this.hosts.get(address);
          const answer = (sourcePort: number): void =>
            this.#later(() =>
              this.prober.heard({ type: 'port-unreachable', sourcePort, destinationPort: port }, address, this.now),
            );
          if (host?.left === true) answer(4000);
          if (host?.made === true) answer(4001);
        },
        path: (address, { state, asked, mtu }) => this.told.push(`${address} ${state} ${mtu} of ${asked}`),
        checksums: (address, report) => this.told.push(`${address} checksums ${report}`),
        random: () => 0.5,
        leftPort: () => 4000,
      },
      known,
    );
  }

  #later(deliver: () => void): void {
    this.#coming.push({ at: this.now + 20, deliver });
  }

  want(size: number, ...addresses: readonly IpAddress[]): void {
    this.prober.want({ paths: addresses.map((address) => ({ address, size })), vteps: [] }, this.now);
  }

  /** Milliseconds pass. */
  run(ms: number): string[] {
    const end = this.now + ms;
    while (this.now < end) {
      this.now += 10;
      for (const { deliver } of this.#coming.filter(({ at }) => at <= this.now)) deliver();
      const left = this.#coming.filter(({ at }) => at > this.now);
      this.#coming.splice(0, this.#coming.length, ...left);
      this.prober.turn(this.now);
    }
    return this.told.splice(0);
  }
}

test('a path that takes everything is told once, and looked at once a minute', () => {
  const net = new Net();
  net.hosts.set(A, { mtu: 9000 });
  net.want(1500, A);
  assert.deepEqual(net.run(200), ['10.9.0.2 ok 1500 of 1500']);
  net.sent = 0;
  assert.deepEqual(net.run(601_000), []);
  assert.equal(net.sent, 2 * 10, 'a full one and a small one each time');
});

test('one that takes less: what it takes, also when nobody says so; and when it is mended', () => {
  for (const tells of [true, false]) {
    const net = new Net();
    net.hosts.set(A, { mtu: 1400, tells });
    net.want(1500, A);
    assert.deepEqual(net.run(12_000), ['10.9.0.2 small 1400 of 1500']);
    assert.deepEqual(net.run(120_000), [], 'found again, told once');
    net.hosts.set(A, { mtu: 1500 });
    assert.deepEqual(net.run(70_000), ['10.9.0.2 ok 1500 of 1500']);
    net.hosts.set(A, { mtu: 1280, tells });
    assert.deepEqual(net.run(80_000), ['10.9.0.2 small 1280 of 1500']);
  }
});

test('who falls silent keeps what is known of the path', () => {
  const net = new Net();
  net.hosts.set(A, { mtu: 1400 });
  net.want(1500, A, B);
  assert.deepEqual(net.run(12_000), ['10.9.0.3 silent null of 1500', '10.9.0.2 small 1400 of 1500']);
  net.hosts.delete(A);
  assert.deepEqual(net.run(70_000), ['10.9.0.2 silent 1400 of 1500']);
  net.hosts.set(A, { mtu: 1400 });
  net.hosts.set(B, { mtu: 1500 });
  assert.deepEqual(net.run(30_000).toSorted(), ['10.9.0.2 small 1400 of 1500', '10.9.0.3 ok 1500 of 1500']);
});

test('another size is looked at at once; who is not wanted any more is not', () => {
  const net = new Net();
  net.hosts.set(A, { mtu: 1500 });
  net.want(1500, A);
  net.run(1000);
  net.want(9000, A);
  assert.deepEqual(net.run(12_000), ['10.9.0.2 small 1500 of 9000']);
  net.want(9000);
  net.sent = 0;
  net.run(300_000);
  assert.equal(net.sent, 0);
});

test('what an earlier life knew is not told again', () => {
  const net = new Net({ [A]: { state: 'small', asked: 1500, mtu: 1400 } });
  net.hosts.set(A, { mtu: 1400, tells: true });
  net.want(1500, A);
  assert.deepEqual(net.run(20_000), []);
});

test('answers of others, and of nobody asked, count for nothing', () => {
  const net = new Net();
  net.want(1500, A);
  net.prober.turn(1);
  for (let sequence = 0; sequence < 10; sequence++) net.prober.heard({ type: 'reply', id: 1, sequence }, B, 2);
  net.prober.heard({ type: 'port-unreachable', sourcePort: 4000, destinationPort: 33_435 }, A, 2);
  assert.deepEqual(net.run(10_000), ['10.9.0.2 silent null of 1500']);
});

test('checksums: ok, broken, and nobody who says', () => {
  const net = new Net();
  net.hosts.set(A, { mtu: 0, left: true, made: true });
  net.hosts.set(B, { mtu: 0, made: true });
  const C = parseIp('10.9.0.4');
  net.prober.want({ paths: [], vteps: [A, B, C] }, 0);
  assert.deepEqual(net.run(20_000), ['10.9.0.2 checksums ok', '10.9.0.3 checksums broken', '10.9.0.4 checksums unknown']);
  // A firewall that comes takes nothing back; a mended card does.
  net.hosts.delete(A);
  net.hosts.set(B, { mtu: 0, left: true });
  assert.deepEqual(net.run(400_000), ['10.9.0.3 checksums ok']);
});

test('ten thousand hosts are not asked in one moment', () => {
  const net = new Net();
  const all = Array.from({ length: 10_000 }, (_, i) => parseIp(`10.8.${i >> 8}.${i & 255}`));
  for (const address of all) net.hosts.set(address, { mtu: 1500 });
  net.want(1500, ...all);
  net.run(1000);
  assert.ok(net.sent < 500, `${net.sent} packets in the first second`);
});
