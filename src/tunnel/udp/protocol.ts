/** Messages between the tunnel and its thread. */
import type { Slots } from './peers.ts';

export interface TunnelWorkerData {
  /** Descriptors belong to the process: the thread uses the main thread's. */
  readonly tun: number;
  readonly udp: number;
  /** Made readable when a message waits: the thread sleeps in poll(2), not on its event loop. */
  readonly event: number;
  /** Not 0: a message waits. Looked at between batches, which costs no system call. */
  readonly flag: SharedArrayBuffer;
  readonly v6: boolean;
  readonly udpSegments: boolean;
  readonly counters: SharedArrayBuffer;
  readonly capacity: number;
  readonly peers: Slots;
}

export type ToTunnel = { readonly type: 'peers'; readonly peers: Slots; readonly serial: number } | { readonly type: 'stop' };

export type FromTunnel = { readonly type: 'ready' } | { readonly type: 'took'; readonly serial: number };
