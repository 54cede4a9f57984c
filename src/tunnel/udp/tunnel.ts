/**
 * flannel's `udp` backend, made fast: inner IP packets as they are in UDP datagrams, through a TUN device. The data path runs on a thread of its own;
 * here its device, its socket and its peers are looked after.
 */
import { SHARE_ENV, Worker } from 'node:worker_threads';
import type { Logger } from '../../base/clock.ts';
import { exhausted, invalid, MoorError } from '../../base/errors.ts';
import { familyOf, type IpAddress } from '../../base/ip.ts';
import type { PeerCounts, Tunnel, TunnelPeer } from '../../contracts/tunnel.ts';
import { openEvent, signalEvent } from '../../sys/poll.ts';
import { openTunQueue } from '../../sys/tun-queue.ts';
import { openTunnelSocket } from '../../sys/tunnel-socket.ts';
import { Counters } from './counters.ts';
import type { FromTunnel, ToTunnel, TunnelWorkerData } from './protocol.ts';

/** A slot costs 32 bytes of address and 40 of counters. */
const PEERS = 16_384;

/** Megabytes. The thread allocates nothing while it runs; tables of peers are what it holds. */
const HEAP = { maxOldGenerationSizeMb: 128, maxYoungGenerationSizeMb: 2 };

export interface UdpTunnelOptions {
  /** The TUN device, in the calling thread's namespace; made when it is not there, and gone with the tunnel then. */
  readonly device: string;
  /** Where datagrams leave from and arrive; `0.0.0.0` and `::` for any. Peers must be of this family. */
  readonly local: { readonly address: IpAddress; readonly port: number };
  readonly peers: readonly TunnelPeer[];
  readonly logger: Logger;
  readonly worker?: URL;
}

/** @throws conflict when the device or the port is taken; unsupported without /dev/net/tun */
export async function openUdpTunnel(options: UdpTunnelOptions): Promise<Tunnel> {
  const { device, local, logger } = options;
  const family = familyOf(local.address);
  const slots: (TunnelPeer | null)[] = [];
  const names = new Map<string, number>();
  const counters = new Counters(PEERS);

  const assign = (peers: readonly TunnelPeer[]): void => {
    if (peers.length > PEERS) throw exhausted(`a tunnel has at most ${PEERS} peers, not ${peers.length}`);
    for (const { name, endpoint } of peers) {
      if (familyOf(endpoint.address) !== family)
        throw invalid(`peer ${name} at ${endpoint.address} cannot be reached from ${local.address}: both must be IPv4, or IPv6`);
    }
    const wanted = new Set(peers.map(({ name }) => name));
    for (const [name, slot] of [...names]) {
      if (wanted.has(name)) continue;
      names.delete(name);
      slots[slot] = null;
    }
    let free = 0;
    for (const peer of peers) {
      let slot = names.get(peer.name);
      if (slot === undefined) {
        while (free < slots.length && slots[free] !== null) free++;
        slot = free;
        counters.clear(slot);
        names.set(peer.name, slot);
      }
      slots[slot] = peer;
    }
  };
  assign(options.peers);

  using undo = new DisposableStack();
  const queue = openTunQueue(device);
  undo.use(queue.fd);
  const socket = undo.use(openTunnelSocket(local));
  const event = undo.use(openEvent());
  const flag = new Int32Array(new SharedArrayBuffer(4));
  const workerData: TunnelWorkerData = {
    tun: queue.fd.number,
    udp: socket.number,
    event: event.number,
    flag: flag.buffer,
    v6: family === 6,
    udpSegments: queue.udpSegments,
    counters: counters.buffer,
    capacity: PEERS,
    peers: slots,
  };
  const worker = new Worker(options.worker ?? new URL('./worker.ts', import.meta.url), {
    workerData,
    name: 'moor-tunnel',
    env: SHARE_ENV,
    execArgv: [],
    resourceLimits: HEAP,
  });
  const ready = Promise.withResolvers<void>();
  const ended = Promise.withResolvers<void>();
  const waiting = new Map<number, PromiseWithResolvers<void>>();
  let serial = 0;
  let over: MoorError | null = null;
  const post = (message: ToTunnel): void => {
    worker.postMessage(message);
    Atomics.store(flag, 0, 1);
    signalEvent(event);
  };
  const finish = (error: MoorError): void => {
    over ??= error;
    ready.reject(over);
    for (const { reject } of waiting.values()) reject(over);
    waiting.clear();
  };
  // The thread sleeps in a system call: a process that ends would wait for it for ever.
  const halt = (): void => post({ type: 'stop' });
  process.on('exit', halt);
  worker.on('message', (message: FromTunnel) => {
    if (message.type === 'ready') ready.resolve();
    else {
      waiting.get(message.serial)?.resolve();
      waiting.delete(message.serial);
    }
  });
  worker.on('error', (error) => {
    logger.error({ err: error }, `The tunnel thread of ${device} failed`);
    finish(
      new MoorError(
        'internal',
        `The tunnel thread of ${device} failed: ${error instanceof Error ? error.message : String(error)}`,
      ),
    );
  });
  worker.on('exit', () => {
    process.off('exit', halt);
    finish(new MoorError('cancelled', `The tunnel thread of ${device} has ended`));
    ended.resolve();
  });
  await ready.promise;
  const open = undo.move();

  return {
    async setPeers(peers) {
      if (over !== null) throw over;
      assign(peers);
      const took = Promise.withResolvers<void>();
      waiting.set(++serial, took);
      post({ type: 'peers', peers: slots, serial });
      await took.promise;
    },
    status: () => ({
      peers: Object.fromEntries([...names].map(([name, slot]): [string, PeerCounts] => [name, counters.peer(slot)])),
      drops: counters.drops(),
    }),
    ended: ended.promise,
    async [Symbol.asyncDispose]() {
      if (over === null) post({ type: 'stop' });
      await ended.promise;
      open.dispose();
    },
  };
}
