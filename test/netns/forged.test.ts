/** Packets that say they belong to a connection which was let pass, from where nobody of that connection is. Each time with a control. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { describe, test } from 'node:test';
import { OPTION } from '../../src/drivers/bridge/options.ts';
import type { Network } from '../../src/model/network.ts';
import { HOST4, TABLE, WORLD4 } from './lab.ts';
import { at, end, HERE, inside, type Place } from './packets.ts';
import { binding, bridgeNf, createPortsLab } from './ports-lab.ts';

interface Talker extends AsyncDisposable {
  /** Resolves when it has left: on one machine, when it has come wherever it may come. */
  readonly send: (address: string, port: number, text: string) => Promise<void>;
  /** Waits for a text to come. @returns everything that has come until then, without it */
  readonly until: (text: string) => Promise<readonly string[]>;
}

/** What a talker says when a packet has left. */
const SENT = 'sent';

const TALKER = `const [address, port] = process.argv.slice(1);
const socket = require('node:dgram').createSocket('udp4');
socket.on('message', (text) => console.log(String(text)));
socket.bind(Number(port), address, () => console.log('up'));
require('node:readline').createInterface(process.stdin).on('line', (line) => {
  const [to, at, text] = line.split(' ');
  socket.send(text, Number(at), to, (error) => console.log(error === null ? 'sent' : error.message));
});`;

/** A UDP socket with an address and a port of one's choice. */
async function talker(place: Place, address: string, port: number): Promise<Talker> {
  const [file = '', ...args] = inside(place, [process.execPath, '-e', TALKER, address, String(port)]);
  const child = spawn(file, args, { stdio: ['pipe', 'pipe', 'inherit'] });
  const came: string[] = [];
  const lines = createInterface({ input: child.stdout }).on('line', (line) => came.push(line));
  const until = async (text: string): Promise<readonly string[]> => {
    while (!came.includes(text)) await once(lines, 'line', { signal: AbortSignal.timeout(30_000) });
    return came.splice(0).filter((line) => line !== text);
  };
  await until('up');
  return {
    async send(to, toPort, text) {
      child.stdin.write(`${to} ${toPort} ${text}\n`);
      while (!came.includes(SENT)) await once(lines, 'line', { signal: AbortSignal.timeout(30_000) });
      came.splice(came.indexOf(SENT), 1);
    },
    until,
    [Symbol.asyncDispose]: () => end(child),
  };
}

/** Question, answer, and one more packet: from then on the connection is asked nothing more. */
async function converse(
  asking: Talker,
  answering: Talker,
  ways: { readonly to: readonly [string, number]; readonly back: readonly [string, number] },
) {
  await asking.send(...ways.to, 'question');
  await answering.until('question');
  await answering.send(...ways.back, 'answer');
  await asking.until('answer');
  await asking.send(...ways.to, 'more');
  await answering.until('more');
}

/** Mark of the connections to a port, as conntrack-tools tell it. */
const marksTo = async (port: number): Promise<string[]> => {
  const listed = await at(HERE, 'conntrack', '-L', '-p', 'udp', '--orig-port-dst', String(port));
  return [...listed.matchAll(/mark=(\d+)/g)].map(([, mark = '']) => mark);
};

const bridgeOf = ({ id }: Network): string => `br-${id.slice(0, 12)}`;

/** From `thief`, with an address that is not its own. */
async function forges(
  thief: Place,
  packet: { readonly from: readonly [string, number]; readonly to: readonly [string, number]; readonly via: string },
) {
  await at(thief, 'ip', 'address', 'replace', `${packet.from[0]}/32`, 'dev', 'eth0');
  await at(thief, 'ip', 'route', 'replace', `${packet.to[0]}/32`, 'via', packet.via, 'src', packet.from[0]);
  await using forger = await talker(thief, ...packet.from);
  await forger.send(...packet.to, 'forged');
}

describe('a connection that was let pass', () => {
  test('is asked nothing more, and one that was not is', async () => {
    await using lab = await createPortsLab();
    const box = await lab.sandbox(await lab.network('10.1.0.0/24'), 2);
    await using inner = await talker(box.place, box.ip, 4000);
    await using outer = await talker(lab.world, WORLD4, 7000);
    await inner.send(WORLD4, 7000, 'question');
    await outer.until('question');
    assert.deepEqual(await marksTo(7000), ['0']);
    await converse(inner, outer, { to: [WORLD4, 7000], back: [HOST4, 4000] });
    assert.deepEqual(await marksTo(7000), ['4096']);
  });

  test('is no way out for a sandbox of an internal network', async () => {
    await using lab = await createPortsLab();
    const box = await lab.sandbox(await lab.network('10.1.0.0/24'), 2);
    const closed = await lab.network('10.2.0.0/24', { internal: true });
    const thief = await lab.sandbox(closed, 2);
    await using inner = await talker(box.place, box.ip, 4000);
    await using outer = await talker(lab.world, WORLD4, 7000);
    await converse(inner, outer, { to: [WORLD4, 7000], back: [HOST4, 4000] });
    const heard = async (): Promise<readonly string[]> => {
      await forges(thief.place, { from: [box.ip, 4000], to: [WORLD4, 7000], via: '10.2.0.1' });
      await inner.send(WORLD4, 7000, 'last');
      return outer.until('last');
    };
    assert.deepEqual(await heard(), []);
    await at(HERE, 'ip', 'link', 'set', bridgeOf(closed), 'group', '0');
    assert.deepEqual(await heard(), ['forged']);
  });

  test('is no way to a neighbour where icc is off', async () => {
    // With 1 br_netfilter leads the packet from port to port, which the bridge itself does not let pass.
    await using lab = await createPortsLab({ prepare: bridgeNf('0') });
    const apart = await lab.network('10.1.0.0/24', { options: { [OPTION.icc]: 'false' } });
    const [box, thief] = [await lab.sandbox(apart, 2), await lab.sandbox(apart, 3)];
    await using inner = await talker(box.place, box.ip, 4000);
    await using outer = await talker(lab.world, WORLD4, 7000);
    await converse(inner, outer, { to: [WORLD4, 7000], back: [HOST4, 4000] });
    const heard = async (): Promise<readonly string[]> => {
      // To the gateway, and back into the bridge.
      await forges(thief.place, { from: [WORLD4, 7000], to: [HOST4, 4000], via: '10.1.0.1' });
      await outer.send(HOST4, 4000, 'last');
      return inner.until('last');
    };
    assert.deepEqual(await heard(), []);
    await at(HERE, 'ip', 'link', 'set', bridgeOf(apart), 'group', '0');
    assert.deepEqual(await heard(), ['forged']);
  });
});

describe("a connection of the host's own, on its loopback", () => {
  test('hears nobody else', async () => {
    await using lab = await createPortsLab({ prepare: bridgeNf('0') });
    const net = await lab.network('10.1.0.0/24');
    const [box, thief] = [await lab.sandbox(net, 2), await lab.sandbox(net, 3)];
    // The bridge takes packets for 127.0.0.0/8 from now on.
    await lab.publish(net, box, binding('127.0.0.1', '8080:80/udp'));
    // Not 127.0.0.1: whoever speaks as an address that a device has is dropped by the kernel itself (fib_validate_source()).
    await using asking = await talker(HERE, '127.0.0.2', 5000);
    await using answering = await talker(HERE, '127.0.0.1', 6000);
    await converse(asking, answering, { to: ['127.0.0.1', 6000], back: ['127.0.0.2', 5000] });
    await at(thief.place, 'sysctl', '-qw', 'net.ipv4.conf.eth0.route_localnet=1');
    await at(thief.place, 'ip', 'rule', 'add', 'pref', '1', 'to', '127.0.0.1', 'lookup', '50');
    await at(thief.place, 'ip', 'route', 'add', '127.0.0.1', 'via', '10.1.0.1', 'dev', 'eth0', 'src', '127.0.0.1', 'table', '50');
    await at(thief.place, 'ip', 'rule', 'add', 'pref', '2', 'lookup', 'local');
    await at(thief.place, 'ip', 'rule', 'del', 'pref', '0');
    await using forger = await talker(thief.place, '127.0.0.2', 5000);
    const heard = async (): Promise<readonly string[]> => {
      await forger.send('127.0.0.1', 6000, 'forged');
      await asking.send('127.0.0.1', 6000, 'last');
      return answering.until('last');
    };
    assert.deepEqual(await heard(), []);
    await at(HERE, 'nft', 'flush', 'chain', 'inet', TABLE, 'localhost');
    assert.deepEqual(await heard(), ['forged']);
  });
});
