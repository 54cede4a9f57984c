/** Multicast between the sandboxes of a network: bridges do not look who has joined which group, and pass on what there is. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { test } from 'node:test';
import { createLab } from './lab.ts';
import { at, end, inside, type Place, PORT } from './packets.ts';

/** First the group is joined, then the first datagram is printed. */
const LISTENER = `
  const [type, group, device] = process.argv.slice(1);
  const socket = require('node:dgram').createSocket(type);
  socket.once('message', (text) => { console.log(String(text)); socket.close(); });
  socket.bind(${PORT}, () => { socket.addMembership(group, device); console.log('joined'); });
`;
const SENDER = `
  const [type, group, device, text] = process.argv.slice(1);
  const socket = require('node:dgram').createSocket(type);
  socket.bind(0, () => {
    socket.setMulticastInterface(device);
    socket.send(text, ${PORT}, group, () => socket.close());
  });
`;

interface Member extends AsyncDisposable {
  /** The first that arrives. */
  readonly heard: Promise<string>;
}

type Group = readonly [type: 'udp4' | 'udp6', group: string];

/** @param device its address, or in IPv6 `::%eth0` */
async function join(place: Place, group: Group, device: string): Promise<Member> {
  const [file = '', ...args] = inside(place, [process.execPath, '-e', LISTENER, ...group, device]);
  const child = spawn(file, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  const lines: AsyncIterator<Buffer> = child.stdout[Symbol.asyncIterator]();
  assert.equal(String((await lines.next()).value), 'joined\n');
  // Undefined when it ends without a word.
  const heard = lines.next().then(({ value }) => String(value));
  return { heard, [Symbol.asyncDispose]: () => end(child) };
}

test('who joined a group hears what is sent to it in the same network, and nothing of another network', async () => {
  await using lab = await createLab();
  const net = await lab.network('10.1.0.0/24 fd00:1::/64');
  const other = await lab.network('10.2.0.0/24 fd00:2::/64');
  const [a, b] = [await lab.sandbox(net, 2), await lab.sandbox(net, 3)];
  const [c, d] = [await lab.sandbox(other, 2), await lab.sandbox(other, 3)];
  const send = (from: Place, group: Group, what: readonly [device: string, text: string]): Promise<string> =>
    at(from, process.execPath, '-e', SENDER, ...group, ...what);
  for (const [group, deviceOf] of [
    [['udp4', '239.1.2.3'], (subnet: number, host: number) => `10.${subnet}.0.${host}`],
    [['udp6', 'ff05::1:3'], () => '::%eth0'],
  ] as const) {
    await using near = await join(b.place, group, deviceOf(1, 3));
    await using far = await join(d.place, group, deviceOf(2, 3));
    await send(a.place, group, [deviceOf(1, 2), 'here']);
    assert.equal(await near.heard, 'here\n');
    // Had the first come through, it would have been there before.
    await send(c.place, group, [deviceOf(2, 2), 'there']);
    assert.equal(await far.heard, 'there\n');
  }
});
