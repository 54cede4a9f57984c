import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { IpAddress } from '../base/ip.ts';
import { deleteFlow, deleteFlows, dumpFlows, type Flow, type FlowFilter } from './conntrack.ts';
import { failureOf, Lab, type LabNamespace } from './lab.testing.ts';
import { NetlinkSocket } from './socket.ts';

const ip = (text: string): IpAddress => text as IpAddress;

/** A namespace with connections made by conntrack(8) itself: no traffic is needed. */
function withFlows(lab: Lab): LabNamespace {
  const host = lab.namespace('host');
  const create = (words: string): string => host.run(`conntrack -I -t 300 ${words}`);
  create('-p tcp --state ESTABLISHED -s 10.0.0.1 -d 10.0.0.2 --sport 1001 --dport 80');
  create('-p tcp --state ESTABLISHED -s 10.0.0.1 -d 10.0.0.2 --sport 1002 --dport 443');
  create('-p udp -s 10.0.0.3 -d 10.0.0.2 --sport 53 --dport 53');
  // As after DNAT: the answer comes from 172.18.0.5.
  create(
    '-p tcp --state ESTABLISHED -s 192.0.2.9 -d 192.0.2.1 --sport 2000 --dport 8080 -r 172.18.0.5 -q 192.0.2.9 --reply-port-src 80 --reply-port-dst 2000',
  );
  create('-p icmp -s 10.0.0.1 -d 10.0.0.9 --icmp-type 8 --icmp-code 0 --icmp-id 77');
  create('-p udp -s fd00::1 -d fd00::2 --sport 5000 --dport 53');
  create('-p tcp --state ESTABLISHED -s fd00::1 -d fd00::2 --sport 5001 --dport 80');
  return host;
}

/** `conntrack -L` in short: protocol, original tuple, source of the answer. */
const listed = (host: LabNamespace): readonly string[] =>
  [4, 6].flatMap((family) =>
    host
      .run(`conntrack -L -f ipv${family} 2>/dev/null`)
      .split('\n')
      .filter(Boolean)
      .map((line) => {
        const all = (key: string): readonly string[] =>
          [...line.matchAll(new RegExp(`\\b${key}=(\\S+)`, 'g'))].map((match) => match[1] ?? '');
        return `${line.split(/\s+/)[1]} ${all('src')[0]} ${all('dst')[0]} ${all('sport')[0] ?? '-'} ${all('dport')[0] ?? '-'} ${all('src')[1]} ${all('dst')[1]}`;
      }),
  );

const inShort = (flow: Flow): string =>
  `${flow.protocol} ${flow.source} ${flow.destination} ${flow.sourcePort ?? '-'} ${flow.destinationPort ?? '-'} ${flow.replySource} ${flow.replyDestination}`;

test('a dump says the same as conntrack -L', () => {
  using lab = new Lab();
  const host = withFlows(lab);
  using socket = NetlinkSocket.open('netfilter', host.netns);
  const flows = [...socket.collect(dumpFlows({ family: 4 })), ...socket.collect(dumpFlows({ family: 6 }))];
  assert.equal(flows.length, 7);
  assert.deepEqual(flows.map(inShort).toSorted(), listed(host).toSorted());
});

/** How many messages the kernel sends, before we look at them ourselves. */
function sentBy(socket: NetlinkSocket, filter: FlowFilter): number {
  let count = 0;
  const query = dumpFlows(filter);
  socket.collect({
    ...query,
    decode(message) {
      count++;
      return query.decode(message);
    },
  });
  return count;
}

test('the kernel sends only what matches', () => {
  using lab = new Lab();
  const host = withFlows(lab);
  using socket = NetlinkSocket.open('netfilter', host.netns);
  const filters: readonly (readonly [count: number, filter: FlowFilter])[] = [
    [5, { family: 4 }],
    [3, { family: 4, source: ip('10.0.0.1') }],
    [3, { family: 4, destination: ip('10.0.0.2') }],
    [2, { family: 4, destination: ip('10.0.0.2'), protocol: 'tcp' }],
    [1, { family: 4, destination: ip('10.0.0.2'), protocol: 'tcp', destinationPort: 443 }],
    [1, { family: 4, protocol: 'tcp', sourcePort: 1001 }],
    [1, { family: 4, protocol: 'udp' }],
    [1, { family: 4, replySource: ip('172.18.0.5') }],
    [0, { family: 4, replySource: ip('172.18.0.5'), source: ip('10.0.0.1') }],
    [1, { family: 6, protocol: 'udp', destinationPort: 53 }],
  ];
  for (const [count, filter] of filters) {
    assert.equal(sentBy(socket, filter), count, JSON.stringify(filter));
    assert.equal(socket.collect(dumpFlows(filter)).length, count, JSON.stringify(filter));
  }
  // Ports without a protocol and IPv6 addresses are found by us.
  assert.equal(socket.collect(dumpFlows({ family: 6, replySource: ip('fd00::2') })).length, 2);
  assert.equal(socket.collect(dumpFlows({ family: 6, source: ip('fd00::9') })).length, 0);
  assert.equal(socket.collect(dumpFlows({ family: 4, destinationPort: 443 })).length, 1);
});

test('connections are forgotten by what they look like, and no others', () => {
  using lab = new Lab();
  const host = withFlows(lab);
  using socket = NetlinkSocket.open('netfilter', host.netns);
  const left = (): number => listed(host).length;
  assert.deepEqual(deleteFlows(socket, [{ family: 4, destination: ip('10.9.9.9') }]), [0]);
  assert.deepEqual(deleteFlows(socket, [{ family: 4, protocol: 'tcp', destination: ip('10.0.0.2'), destinationPort: 443 }]), [1]);
  assert.ok(!listed(host).some((line) => line.includes(' 443 ')));
  assert.deepEqual(deleteFlows(socket, [{ family: 4, replySource: ip('172.18.0.5') }]), [1]);
  assert.equal(left(), 5);
  assert.deepEqual(deleteFlows(socket, [{ family: 6, sourcePort: 5000, source: ip('fd00::1') }]), [1]);
  assert.equal(left(), 4);
  // ICMP has no ports; it is found by its addresses.
  assert.deepEqual(deleteFlows(socket, [{ family: 4, source: ip('10.0.0.1') }]), [2]);
  assert.deepEqual(listed(host).toSorted(), [
    '17 10.0.0.3 10.0.0.2 53 53 10.0.0.2 10.0.0.3',
    '6 fd00::1 fd00::2 5001 80 fd00::2 fd00::1',
  ]);
  assert.deepEqual(deleteFlows(socket, [{ family: 4 }]), [1]);
  assert.equal(left(), 1);
});

test('many at once, of both families, by ranges, lists and translation: counted by the first that matches', () => {
  using lab = new Lab();
  const host = withFlows(lab);
  using socket = NetlinkSocket.open('netfilter', host.netns);
  const all = listed(host).length;
  const filters: readonly FlowFilter[] = [
    { family: 4, protocol: 'tcp', destinations: [ip('10.9.9.9'), ip('10.0.0.2')], destinationPorts: { from: 440, to: 450 } },
    { family: 4, protocol: 'tcp', destinationPorts: { from: 443, to: 443 } },
    { family: 4, translated: true },
    { family: 6, sourcePort: 5000 },
    { family: 6, sourcePort: 5001, translated: true },
    { family: 4, protocol: 'udp', destinationPorts: { from: 54, to: 60 } },
  ];
  const counts = deleteFlows(socket, filters);
  assert.deepEqual(counts, [1, 0, 1, 1, 0, 0]);
  assert.equal(listed(host).length, all - 3);
  assert.ok(!listed(host).some((line) => line.includes(' 443 ') || line.includes(' 5000 ')));
  // One family, one protocol: the kernel looks for them.
  assert.deepEqual(
    deleteFlows(
      socket,
      [53, 54].map((port) => ({ family: 4, protocol: 'udp', destinationPort: port }) as const),
    ),
    [1, 0],
  );
  assert.deepEqual(deleteFlows(socket, []), []);
});

test('a connection that has gone is not there', () => {
  using lab = new Lab();
  const host = withFlows(lab);
  using socket = NetlinkSocket.open('netfilter', host.netns);
  const [flow] = socket.collect(dumpFlows({ family: 4, protocol: 'udp' }));
  assert.ok(flow);
  host.run('conntrack -F 2>/dev/null');
  const error = failureOf(socket, deleteFlow(flow));
  assert.equal(error.kernel?.code, 'ENOENT');
  assert.equal(error.kernel?.operation, 'conntrack -D -f ipv4 -p 17 -s 10.0.0.3 -d 10.0.0.2');
});

test('the same addresses in two zones are two connections', () => {
  using lab = new Lab();
  const host = lab.namespace('host');
  const words = 'conntrack -I -t 300 -p udp -s 10.0.0.3 -d 10.0.0.2 --sport 53 --dport 53';
  host.run(words);
  host.run(`${words} --zone 5`);
  using socket = NetlinkSocket.open('netfilter', host.netns);
  const flows = socket.collect(dumpFlows({ family: 4 }));
  assert.equal(flows.length, 2);
  const inZone = flows.find(({ key }) => key.zone === 5);
  assert.ok(inZone);
  socket.run(deleteFlow(inZone));
  assert.deepEqual(
    socket.collect(dumpFlows({ family: 4 })).map(({ key }) => key.zone),
    [undefined],
  );
});
