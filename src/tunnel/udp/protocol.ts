/**
 * What a daemon and its tunnel process say to each other, on a UNIX stream socket: a length of 32 bits (little-endian), then JSON. The process speaks
 * first: `hello`, with its TUN device and its UDP socket as descriptors, so that whoever comes next can go on with them.
 */
import { MoorError } from '../../base/errors.ts';
import type { IpAddress } from '../../base/ip.ts';
import type { TunnelPeer, TunnelStatus } from '../../contracts/tunnel.ts';

/** Of all that is in this file. A process that speaks another one is replaced. */
export const PROTOCOL = 3;

/** Names in the folder of a tunnel. */
export const CONTROL = 'control';
export const PIDFILE = 'pid';
/** Standard error of the process: why it ended. */
export const LAST_WORDS = 'log';

/** Descriptors that the process is born with, after the standard ones. */
export const INHERITED = { tun: 3, udp: 4, listener: 5 } as const;

/** The one argument of the process, as JSON. */
export interface TunnelProcessData {
  readonly directory: string;
  readonly device: string;
  readonly local: { readonly address: IpAddress; readonly port: number };
  /** The device takes UDP segments. */
  readonly udpSegments: boolean;
  /** It is to go before other programs, if that is permitted. */
  readonly priority: boolean;
  /** Tells programs apart: who has another one is replaced. */
  readonly build: string;
}

export type ToTunnel =
  | { readonly type: 'peers'; readonly peers: readonly TunnelPeer[]; readonly underlay: string; readonly serial: number }
  | { readonly type: 'status'; readonly serial: number }
  | { readonly type: 'stop' };

export interface Hello extends TunnelProcessData {
  readonly type: 'hello';
  readonly protocol: number;
  readonly pid: number;
  /** Why it does not go before other programs, though it is to; '' otherwise. */
  readonly refused: string;
}

export type FromTunnel =
  | Hello
  | { readonly type: 'took'; readonly serial: number }
  | { readonly type: 'status'; readonly serial: number; readonly status: TunnelStatus };

const PREFIX = 4;
/** Bytes. 16,384 peers with some subnets each are a few megabytes. */
const LONGEST = 64 << 20;

export function frame(message: ToTunnel | FromTunnel): Uint8Array<ArrayBuffer> {
  const text = new TextEncoder().encode(JSON.stringify(message));
  const bytes = new Uint8Array(PREFIX + text.length);
  new DataView(bytes.buffer).setUint32(0, text.length, true);
  bytes.set(text, PREFIX);
  return bytes;
}

/** Puts messages together from what comes in pieces. */
export class Frames<T> {
  #parts: Uint8Array[] = [];
  #length = 0;
  #needed = PREFIX;

  /** @returns messages that are complete now @throws internal for what is none of ours */
  push(bytes: Uint8Array): T[] {
    this.#parts.push(bytes);
    this.#length += bytes.length;
    const out: T[] = [];
    // A long message comes in many pieces: they are joined once, not once a piece.
    while (this.#length >= this.#needed) {
      const all = Buffer.concat(this.#parts);
      const size = all.readUInt32LE(0);
      if (size > LONGEST) throw new MoorError('internal', `a message of ${size} bytes between moord and its tunnel process`);
      this.#needed = PREFIX + size;
      const whole = all.length >= this.#needed;
      if (whole) out.push(JSON.parse(all.toString('utf8', PREFIX, this.#needed)) as T);
      const rest = whole ? all.subarray(this.#needed) : all;
      this.#parts = [rest];
      this.#length = rest.length;
      if (whole) this.#needed = PREFIX;
    }
    return out;
  }
}
