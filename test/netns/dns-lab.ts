/** Sandboxes with name service, upstream servers that behave in ways that the tests choose, and clients of both. */
import { createSocket, type RemoteInfo, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { encode, type Packet } from 'dns-packet';
import { silentLogger } from '../../src/base/clock.ts';
import { type Id, newId } from '../../src/base/ids.ts';
import { type IpAddress, parseIp } from '../../src/base/ip.ts';
import type { NameRecord, Resolver, ResolverClient, Upstream } from '../../src/contracts/resolver.ts';
import { type Read, readAnswer } from '../../src/dns/messages.testing.ts';
import { TABLE } from '../../src/dns/plan.ts';
import { createResolver, type ResolverOptions } from '../../src/dns/resolver.ts';
import { render } from '../../src/nft/render.ts';
import type { Fd } from '../../src/sys/fd.ts';
import { connectTo, receive, send } from '../../src/sys/inet.ts';
import { openNetns, withNetns } from '../../src/sys/netns.ts';
import { watchReadable } from '../../src/sys/poll.ts';
import { joined } from '../../src/wire/bytes.ts';
import { at, HERE, type Place } from './packets.ts';

export const NET: { readonly id: Id; readonly name: string } = { id: newId(), name: 'my_net' };
const RESOLVER = { address: parseIp('127.0.0.11'), port: 53 };

/** A namespace with its loopback up and our table in it. */
export async function sandbox(stack: AsyncDisposableStack, name: string): Promise<Place> {
  await at(HERE, 'ip', 'netns', 'add', name);
  const place = `/run/netns/${name}`;
  stack.defer(async () => void (await at(HERE, 'ip', 'netns', 'del', name)));
  await at(place, 'ip', 'link', 'set', 'lo', 'up');
  // The C library asks for a family only if there is an address of it (AI_ADDRCONFIG), on whatever device.
  for (const address of ['10.9.255.1/32', 'fd00::ff01/128']) await at(place, 'ip', 'address', 'add', address, 'dev', 'lo');
  await at(place, 'nft', render(TABLE));
  return place;
}

export const clientOf = (netns: Place, part: Partial<ResolverClient> = {}): ResolverClient => ({
  sandbox: newId(),
  netns,
  networks: [NET],
  links: {},
  upstreams: [],
  ...part,
});

export const record = (names: string, ...addresses: readonly string[]): NameRecord => ({
  endpoint: newId(),
  network: NET.id,
  names: names.split(' '),
  addresses: addresses.map((address): IpAddress => parseIp(address)),
});

export const resolver = async (stack: AsyncDisposableStack, options: Partial<ResolverOptions> = {}): Promise<Resolver> =>
  stack.use(await createResolver({ logger: silentLogger, ...options }));

/** What `dig` makes of the resolver's answer. @param args as on its command line */
export const dig = (place: Place, ...args: readonly string[]): Promise<string> =>
  at(place, 'dig', '@127.0.0.11', '+tries=1', '+time=10', ...args);

/** The answers alone, sorted. */
export async function short(place: Place, ...args: readonly string[]): Promise<readonly string[]> {
  return (await dig(place, '+short', ...args)).split('\n').filter(Boolean).toSorted();
}

/** `NOERROR`, as dig says it. */
export async function status(place: Place, ...args: readonly string[]): Promise<string> {
  return /status: (\w+)/.exec(await dig(place, ...args))?.[1] ?? '';
}

/** Runs a command in a sandbox whose resolv.conf names us, as a container's does. */
export async function inContainer(place: Place, ...command: readonly string[]): Promise<string> {
  const folder = mkdtempSync(join(tmpdir(), 'resolv-'));
  const file = join(folder, 'resolv.conf');
  writeFileSync(file, 'nameserver 127.0.0.11\noptions ndots:0 attempts:1 timeout:20\n');
  try {
    const script = `mount --bind ${file} /etc/resolv.conf && exec "$@"`;
    return await at(HERE, 'unshare', '--mount', 'nsenter', `--net=${place}`, 'sh', '-c', script, 'sh', ...command);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** A UDP socket in a sandbox, connected to the resolver. */
export class Asker implements Disposable {
  readonly #fd: Fd;
  readonly #watch: Disposable;
  readonly #buffer = new Uint8Array(65536);
  readonly #waiting: ((bytes: Uint8Array) => void)[] = [];

  constructor(place: Place) {
    using netns = openNetns(place);
    this.#fd = withNetns(netns, () => connectTo('udp', RESOLVER));
    this.#watch = watchReadable(this.#fd, () => {
      for (let length = 0; (length = receive(this.#fd, this.#buffer)) >= 0; ) {
        this.#waiting.shift()?.(this.#buffer.slice(0, length));
      }
    });
  }

  send(bytes: Uint8Array): void {
    send(this.#fd, bytes);
  }

  /** The next datagram that comes. */
  next(): Promise<Read> {
    return new Promise((resolve) => this.#waiting.push((bytes) => resolve(readAnswer(bytes))));
  }

  ask(bytes: Uint8Array): Promise<Read> {
    return this.askRaw(bytes).then(readAnswer);
  }

  askRaw(bytes: Uint8Array): Promise<Uint8Array> {
    const answer = new Promise<Uint8Array>((resolve) => this.#waiting.push(resolve));
    this.send(bytes);
    return answer;
  }

  [Symbol.dispose](): void {
    this.#watch[Symbol.dispose]();
    this.#fd.close();
  }
}

/** A TCP connection to the resolver: writes bytes as they are, and hears whole messages. */
export class Stream implements Disposable {
  readonly #fd: Fd;
  readonly #watch: Disposable;
  #input: Uint8Array = new Uint8Array(0);
  readonly #messages: Uint8Array[] = [];
  readonly #waiting: (() => void)[] = [];
  ended = false;

  constructor(place: Place) {
    using netns = openNetns(place);
    this.#fd = withNetns(netns, () => connectTo('tcp', RESOLVER));
    const buffer = new Uint8Array(65536);
    this.#watch = watchReadable(this.#fd, () => {
      const length = receive(this.#fd, buffer);
      if (length === -1) return;
      if (length <= 0) {
        this.ended = true;
        this.#watch[Symbol.dispose]();
      } else {
        this.#input = joined(this.#input, buffer.subarray(0, length));
      }
      for (;;) {
        const size = 2 + ((this.#input[0] ?? 0) << 8) + (this.#input[1] ?? 0);
        if (this.#input.length < 2 || this.#input.length < size) break;
        this.#messages.push(this.#input.slice(2, size));
        this.#input = this.#input.slice(size);
      }
      for (const wake of this.#waiting.splice(0)) wake();
    });
  }

  write(bytes: Uint8Array): void {
    send(this.#fd, bytes);
  }

  query(bytes: Uint8Array): void {
    this.write(joined(Uint8Array.of(bytes.length >>> 8, bytes.length & 255), bytes));
  }

  /** The next message; null: the other side has closed. */
  async next(): Promise<Read | null> {
    for (;;) {
      const message = this.#messages.shift();
      if (message !== undefined) return readAnswer(message);
      if (this.ended) return null;
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    }
  }

  [Symbol.dispose](): void {
    if (!this.ended) this.#watch[Symbol.dispose]();
    this.#fd.close();
  }
}

export interface Heard {
  readonly query: Read;
  readonly bytes: Buffer;
  readonly from: { readonly address: string; readonly port: number };
  readonly tcp: boolean;
  /** Sends an answer, or something. */
  readonly reply: (bytes: Uint8Array) => void;
  readonly socket: Socket;
}

export interface UpstreamServer extends AsyncDisposable {
  readonly upstream: Upstream;
  readonly heard: Heard[];
  /** Until so many queries have come. */
  readonly atLeast: (count: number) => Promise<void>;
}

/**
 * A DNS server of this process, on an address of the host's loopback.
 * @param behave what it does with each query
 * @param options.tcp false: nobody listens there
 */
export async function upstreamServer(
  address: string,
  behave: (heard: Heard) => void,
  options: { readonly tcp?: boolean } = {},
): Promise<UpstreamServer> {
  const heard: Heard[] = [];
  const waiting: { readonly count: number; readonly wake: () => void }[] = [];
  const hear = (one: Omit<Heard, 'query' | 'socket'>): void => {
    const whole: Heard = { ...one, query: readAnswer(one.bytes), socket };
    heard.push(whole);
    for (const { count, wake } of waiting) if (heard.length >= count) wake();
    behave(whole);
  };
  const socket = createSocket('udp4', (bytes: Buffer, { address: from, port }: RemoteInfo) =>
    hear({ bytes, from: { address: from, port }, tcp: false, reply: (answer) => socket.send(answer, port, from) }),
  );
  socket.bind(0, address);
  await once(socket, 'listening');
  const { port } = socket.address();
  let open = true;
  const server = createServer((peer) => {
    let input: Uint8Array = new Uint8Array(0);
    peer.on('error', () => {});
    peer.on('data', (bytes) => {
      input = joined(input, Uint8Array.from(bytes as Buffer));
      const size = 2 + ((input[0] ?? 0) << 8) + (input[1] ?? 0);
      if (input.length < 2 || input.length < size) return;
      const query = Buffer.from(input.slice(2, size));
      input = input.slice(size);
      hear({
        bytes: query,
        from: { address: peer.remoteAddress ?? '', port: peer.remotePort ?? 0 },
        tcp: true,
        reply: (answer) => void peer.write(joined(Uint8Array.of(answer.length >>> 8, answer.length & 255), answer)),
      });
    });
  });
  if (options.tcp !== false) {
    server.listen(port, address);
    await once(server, 'listening');
  }
  return {
    upstream: { address: parseIp(address), port, from: 'host' },
    heard,
    atLeast: async (count) => {
      if (heard.length < count) await new Promise<void>((wake) => waiting.push({ count, wake }));
    },
    async [Symbol.asyncDispose]() {
      if (open) socket.close();
      if (open) server.close();
      open = false;
    },
  };
}

/** An answer to what was heard. @param code RCODE */
export function answerTo({ bytes, query }: Heard, part: Packet = {}, code = 0): Buffer {
  const flags = (query.packet.flag_rd ? 0x0100 : 0) | 0x0080 | (part.flags ?? 0) | code;
  const questions = query.packet.questions ?? [];
  const message = encode({ ...part, type: 'response', id: bytes.readUInt16BE(0), flags, questions });
  // dns-packet leaves the code out.
  message[3] = ((message[3] ?? 0) & 0xf0) | code;
  return message;
}

/** The usual answer: one address. */
export const addressTo = (heard: Heard, data: string, ttl = 60): Buffer =>
  answerTo(heard, { answers: [{ type: 'A', name: heard.query.name, ttl, data }] });
