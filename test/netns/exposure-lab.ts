/**
 * A host with two outside networks, two bridges with a container each and one more on the first, and a published port made by hand:
 * what the trace says of it is compared with what packets do. The host is this process's namespace.
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { rmSync, writeFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { dump } from '../../src/kernel/dump.ts';
import { openNftRunner } from '../../src/kernel/nft-run.ts';
import { readRuleset } from '../../src/kernel/ruleset.ts';
import { Spaces } from '../../src/kernel/spaces.ts';
import { readSysctls } from '../../src/kernel/sysctl.ts';
import type { PortProtocol } from '../../src/model/ports.ts';
import { Host, valueOfIp } from '../../src/trace/host.ts';
import type { Interval, Intervals } from '../../src/trace/intervals.ts';
import { type Outcome, Tracer } from '../../src/trace/path.ts';
import { at, end, HERE, type Place } from './packets.ts';

export const PORT = 8080;
export const TARGET_PORT = 80;
export const CONTAINER4 = '10.1.0.2';
export const CONTAINER6 = 'fd00:1::2';

/** Who asks. `device` null: this host. */
export interface Client {
  readonly name: string;
  readonly place: Place;
  readonly device: string | null;
  /** Its addresses, each of which it may use as the source; of the host those that it asks itself by. */
  readonly sources: readonly string[];
  /** The address that it asks at. */
  readonly asks: string;
}

export interface Request {
  readonly source: string;
  readonly address: string;
  readonly protocol: PortProtocol;
  readonly port: number;
}

/** What a packet did; `local` is only foretold: it is for a program of the host, and what that answers is not followed. */
export type Fate = 'reaches' | 'rejected' | 'silent' | 'local';

export interface ExposureLab extends AsyncDisposable {
  readonly clients: readonly Client[];
  /** Milliseconds: how long to wait when nothing is expected. */
  readonly ask: (client: Client, request: Request, patience: number) => Promise<Fate>;
  readonly tracer: () => Tracer;
}

/** What to wait at most for an answer that is expected, in milliseconds. */
export const PATIENCE = 20_000;

/**
 * Lives in one namespace. Serves greetings on TCP and echoes on UDP, and asks servers elsewhere. Reads requests as lines of JSON. A TCP client is
 * content when it has read the greeting: so the connection was made on both sides.
 */
const AGENT = `
const net = require('node:net'), dgram = require('node:dgram');
const say = (object) => process.stdout.write(JSON.stringify(object) + '\\n');
const [tcp, udp] = JSON.parse(process.argv[1]);
let waiting = 1;
const ready = () => --waiting || say({ ready: true });
for (const port of tcp) { waiting++; net.createServer((peer) => { peer.on('error', () => {}); peer.end('hello'); }).listen({ port, host: '::' }, ready); }
for (const port of udp) for (const type of ['udp4', 'udp6']) {
  waiting++;
  const socket = dgram.createSocket({ type, ipv6Only: type === 'udp6' });
  socket.on('message', (data, from) => socket.send(data, from.port, from.address, () => {}));
  socket.bind(port, ready);
}
ready();
function ask({ id, source, address, protocol, port, patience }) {
  let timer, close = () => {};
  const done = (fate) => { clearTimeout(timer); close(); close = () => {}; if (id !== null) say({ id, fate }); id = null; };
  timer = setTimeout(() => done('silent'), patience);
  if (protocol === 'tcp') {
    const socket = net.connect({ host: address, port, localAddress: source });
    close = () => socket.destroy();
    socket.on('data', () => done('reaches'));
    socket.on('end', () => {});
    socket.on('error', (error) => error.code === 'ETIMEDOUT' ? done('silent') : done('rejected'));
  } else {
    const socket = dgram.createSocket(address.includes(':') ? 'udp6' : 'udp4');
    let answers = 0;
    close = () => socket.close();
    // The second one is no new connection.
    socket.on('message', () => ++answers === 2 ? done('reaches') : socket.send('again', () => {}));
    socket.on('error', () => done('rejected'));
    socket.bind(0, source, () => socket.connect(port, address, (error) => {
      if (error) return done('rejected');
      socket.send('hello', () => {});
    }));
  }
}
let text = '';
process.stdin.setEncoding('utf8').on('data', (part) => {
  text += part;
  const lines = text.split('\\n');
  text = lines.pop();
  for (const line of lines) ask(JSON.parse(line));
}).on('end', () => process.exit(0));
`;

interface Agent extends AsyncDisposable {
  readonly ask: (request: Request, patience: number) => Promise<Fate>;
}

async function agent(place: Place, serve: { readonly tcp: readonly number[]; readonly udp: readonly number[] }): Promise<Agent> {
  const command = [process.execPath, '-e', AGENT, JSON.stringify([serve.tcp, serve.udp])];
  const [file = '', ...args] = place === HERE ? command : ['nsenter', `--net=${place}`, ...command];
  const child = spawn(file, args, { stdio: ['pipe', 'pipe', 'inherit'] });
  const waiting = new Map<number, (fate: Fate) => void>();
  const ready = Promise.withResolvers<void>();
  createInterface(child.stdout).on('line', (line) => {
    const answer = JSON.parse(line) as { readonly ready?: true; readonly id: number; readonly fate: Fate };
    if (answer.ready) ready.resolve();
    else waiting.get(answer.id)?.(answer.fate);
  });
  void once(child, 'exit').then(() => ready.reject(new Error(`the agent in ${place} ended`)));
  await ready.promise;
  let next = 0;
  return {
    ask: (request, patience) => {
      const id = next++;
      return new Promise((resolve) => {
        waiting.set(id, resolve);
        child.stdin.write(`${JSON.stringify({ id, ...request, patience })}\n`);
      });
    },
    [Symbol.asyncDispose]: () => end(child),
  };
}

/** Two clients' addresses more than one, so that rules about addresses have something to tell apart. */
const CLIENTS: readonly Client[] = [
  {
    name: 'world',
    place: '/run/netns/world',
    device: 'up0',
    sources: ['198.51.100.2', '198.51.100.3', '198.51.100.77', '198.51.100.200'],
    asks: '198.51.100.1',
  },
  { name: 'lan', place: '/run/netns/lan', device: 'lan0', sources: ['203.0.113.2', '203.0.113.99'], asks: '203.0.113.1' },
  { name: 'this host', place: HERE, device: null, sources: ['198.51.100.1'], asks: '198.51.100.1' },
  { name: 'localhost', place: HERE, device: null, sources: ['127.0.0.1'], asks: '127.0.0.1' },
  { name: 'other', place: '/run/netns/other', device: 'br-o', sources: ['10.2.0.2'], asks: '198.51.100.1' },
  { name: 'same', place: '/run/netns/same', device: 'br-t', sources: ['10.1.0.3'], asks: '198.51.100.1' },
  {
    name: 'world, v6',
    place: '/run/netns/world',
    device: 'up0',
    sources: ['2001:db8:1::2', '2001:db8:1::99'],
    asks: '2001:db8:1::1',
  },
  { name: 'this host, v6', place: HERE, device: null, sources: ['2001:db8:1::1'], asks: '2001:db8:1::1' },
];

/** As a table of nftables that publishes does it: only addresses of the host, localhost and hairpin masqueraded. */
const PUBLISH = `
table inet publish {
  chain lead {
    meta l4proto { tcp, udp } th dport ${PORT} dnat ip to ${CONTAINER4}:${TARGET_PORT}
    meta l4proto { tcp, udp } th dport ${PORT} dnat ip6 to [${CONTAINER6}]:${TARGET_PORT}
  }
  chain prerouting { type nat hook prerouting priority dstnat; fib daddr type local goto lead; }
  chain output { type nat hook output priority -100; fib daddr type local goto lead; }
  chain postrouting {
    type nat hook postrouting priority srcnat;
    ip saddr 127.0.0.0/8 oifname "br-t" masquerade
    iifname "br-t" oifname "br-t" masquerade
  }
}`;

const SETUP = `
set -e
sysctl -qw net.ipv6.conf.default.accept_dad=0 net.ipv6.conf.all.forwarding=1 net.ipv4.ip_forward=1
# Every refusal is sent.
sysctl -qw net.ipv4.icmp_ratelimit=0 net.ipv6.icmp.ratelimit=0
outside() { # name device host4 host6 addresses...
  name=$1 device=$2 host4=$3 host6=$4; shift 4
  ip netns add $name
  ip link add $device type veth peer name eth0 netns $name
  ip addr add $host4 dev $device
  [ $host6 = - ] || ip addr add $host6 dev $device nodad
  ip link set $device up
  for a in "$@"; do case $a in *:*) dad=nodad ;; *) dad= ;; esac; ip -n $name addr add $a dev eth0 $dad; done
  ip -n $name link set lo up
  ip -n $name link set eth0 up
}
inside() { # name bridge gateway4 gateway6 addresses...
  name=$1 bridge=$2 gateway4=$3 gateway6=$4; shift 4
  ip netns add $name
  ip link add v-$name master $bridge up type veth peer name eth0 netns $name
  for a in "$@"; do case $a in *:*) dad=nodad ;; *) dad= ;; esac; ip -n $name addr add $a dev eth0 $dad; done
  ip -n $name link set lo up
  ip -n $name link set eth0 up
  ip -n $name route add default via $gateway4
  [ $gateway6 = - ] || ip -n $name -6 route add default via $gateway6
}
outside world up0 198.51.100.1/24 2001:db8:1::1/64 198.51.100.2/24 198.51.100.3/24 198.51.100.77/24 198.51.100.200/24 2001:db8:1::2/64 2001:db8:1::99/64
outside lan lan0 203.0.113.1/24 - 203.0.113.2/24 203.0.113.99/24
ip route add default via 198.51.100.2
for b in "br-t 10.1.0.1/24" "br-o 10.2.0.1/24"; do
  set -- $b
  ip link add $1 type bridge
  ip addr add $2 dev $1
  ip link set $1 up
done
ip addr add fd00:1::1/64 dev br-t nodad
sysctl -qw net.ipv4.conf.br-t.route_localnet=1
echo 0 >/proc/sys/net/bridge/bridge-nf-call-iptables
echo 0 >/proc/sys/net/bridge/bridge-nf-call-ip6tables
inside target br-t 10.1.0.1 fd00:1::1 ${CONTAINER4}/24 ${CONTAINER6}/64
inside same br-t 10.1.0.1 - 10.1.0.3/24
inside other br-o 10.2.0.1 - 10.2.0.2/24
`;

const TEARDOWN = `
for n in world lan target same other; do ip netns del $n; done
for d in up0 lan0 v-target v-same v-other br-t br-o; do ip link del $d 2>/dev/null; done
sysctl -qw net.ipv6.conf.all.forwarding=0 net.ipv4.ip_forward=0
nft flush ruleset
`;

/** @param publish rules that lead the port to the container; default: as above */
export async function createExposureLab({ publish = PUBLISH }: { readonly publish?: string } = {}): Promise<ExposureLab> {
  await using stack = new AsyncDisposableStack();
  stack.defer(async () => void (await at(HERE, 'sh', '-c', TEARDOWN)));
  await at(HERE, 'sh', '-c', SETUP);
  if (publish !== '') await nftFile(publish);
  const places = [...new Set(CLIENTS.map(({ place }) => place)), '/run/netns/target'];
  const agents = new Map<Place, Agent>();
  for (const place of places) {
    const ports = place.endsWith('target') ? [TARGET_PORT] : [];
    agents.set(place, stack.use(await agent(place, { tcp: ports, udp: ports })));
  }
  const spaces = stack.use(new Spaces());
  const nft = stack.use(openNftRunner(true));
  const lab: Omit<ExposureLab, typeof Symbol.asyncDispose> = {
    clients: CLIENTS,
    ask: ({ place }, request, patience) => {
      const found = agents.get(place);
      if (found === undefined) throw new Error(`no agent in ${place}`);
      return found.ask(request, patience);
    },
    tracer: () => {
      spaces.begin();
      const { links: devices, addresses, routes } = dump(spaces.host, ['links', 'addresses', 'routes']);
      const keys = ['all', 'br-t'].map((name) => `net/ipv4/conf/${name}/route_localnet`);
      const sysctls = readSysctls(['net/ipv4/ip_forward', 'net/ipv6/conf/all/forwarding', ...keys]);
      return new Tracer(readRuleset(nft), new Host({ links: devices, addresses, routes, sysctls }));
    },
  };
  const owned = stack.move();
  return { ...lab, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

/** Loads rules. nft reads no standard input of Node's making. */
export async function nftFile(text: string): Promise<void> {
  const file = '/run/tmp/rules.nft';
  writeFileSync(file, text);
  try {
    await at(HERE, 'nft', '-f', file);
  } finally {
    rmSync(file);
  }
}

const addressSet = (sources: readonly string[]): Intervals =>
  sources.map((source): Interval => [valueOfIp(source), valueOfIp(source)]).toSorted(([a], [b]) => (a < b ? -1 : 1));

export function predict(tracer: Tracer, client: Client, protocol: PortProtocol): readonly Outcome[] {
  const device = client.device === null ? null : tracer.host.device(client.device);
  return tracer.trace({
    family: client.asks.includes(':') ? 6 : 4,
    protocol,
    device,
    peer: addressSet(client.sources),
    address: valueOfIp(client.asks),
    port: PORT,
  });
}

/** What is foretold for one source: a fate, or null when it was said to hang on something. */
export function foretold(outcomes: readonly Outcome[], source: string): Fate | null {
  const value = valueOfIp(source);
  const mine = outcomes.filter(({ peer }) => peer.some(([from, to]) => from <= value && value <= to));
  const fates = new Set(mine.map(fateOf));
  assert.notEqual(fates.size, 0, `nothing is said of ${source}`);
  const [fate] = fates;
  return fates.size === 1 ? (fate ?? null) : null;
}

function fateOf({ verdict }: Outcome): Fate | null {
  switch (verdict.type) {
    case 'reaches':
      return 'reaches';
    case 'dropped':
      return 'silent';
    case 'rejected':
      return verdict.step === 'answer' ? 'silent' : 'rejected';
    case 'refused':
      return 'silent';
    case 'untracked':
      return verdict.step === 'answer' ? 'silent' : 'local';
    case 'local':
      return 'local';
    case 'unknown':
      return null;
  }
}

/** For whoever reads a failure. */
export const shown = (outcomes: readonly Outcome[]): string =>
  JSON.stringify(outcomes, (_, value: unknown) => (typeof value === 'bigint' ? value.toString() : value));
