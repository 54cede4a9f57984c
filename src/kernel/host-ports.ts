/** Ports of the host, held by bound sockets of this thread. */
import { readFileSync } from 'node:fs';
import { exhausted } from '../base/errors.ts';
import { type IpAddress, ipBytes } from '../base/ip.ts';
import type { HostPort, HostPortRefusal } from '../contracts/host-ports.ts';
import type { PortProtocol, PortRange } from '../model/ports.ts';
import { allowFiles, bindPort } from '../sys/bound.ts';
import { FIRST_ASIDE, type Fd } from '../sys/fd.ts';

const NUMBERS: Readonly<Record<PortProtocol, number>> = { tcp: 0, udp: 1, sctp: 2 };

/** Protocol and port as one number. */
const keyOf = (protocol: PortProtocol, port: number): number => (NUMBERS[protocol] << 16) | port;

/** Files that a daemon has open besides: its connections, databases, logs of containers. */
const OTHER_FILES = 8192;

/**
 * A port costs one file of the process, in the kernel 4 kB (TCP) or 2 kB (UDP) of memory (Linux 6.18, measured with 10,000), here 0.2 kB.
 */
export class HeldPorts implements Disposable {
  readonly #byAddress = new Map<IpAddress, Map<number, Fd>>();
  #count = 0;

  /** How many there are. */
  get count(): number {
    return this.#count;
  }

  /** As the contract says. */
  hold(ports: readonly HostPort[]): HostPortRefusal | null {
    const taken: { readonly address: IpAddress; readonly key: number }[] = [];
    const giveBack = (): void => {
      for (const { address, key } of taken) this.#close(address, key);
    };
    this.#makeRoom(ports.reduce((sum, { ports: { from, to } }) => sum + to - from + 1, 0));
    try {
      for (const { protocol, address, ports: range } of ports) {
        const bytes = ipBytes(address);
        const held = this.#at(address);
        for (let port = range.from; port <= range.to; port++) {
          const key = keyOf(protocol, port);
          if (held.has(key)) continue;
          const bound = bindPort(protocol, bytes, port);
          if (bound === 'unsupported') break;
          if (typeof bound === 'string') {
            giveBack();
            return { protocol, address, port, reason: bound };
          }
          held.set(key, bound);
          this.#count++;
          taken.push({ address, key });
        }
      }
      return null;
    } catch (error) {
      giveBack();
      throw error;
    }
  }

  /** @throws exhausted */
  #makeRoom(wanted: number): void {
    const limit = allowFiles(this.#count + wanted + OTHER_FILES);
    if (limit - this.#count - wanted >= FIRST_ASIDE) return;
    throw exhausted(
      `Cannot hold ${wanted} ports of the host: each takes an open file, of ${limit} that the daemon may have (LimitNOFILE) ${this.#count} are taken so`,
    );
  }

  release(ports: readonly HostPort[]): void {
    for (const { protocol, address, ports: range } of ports) {
      for (let port = range.from; port <= range.to; port++) this.#close(address, keyOf(protocol, port));
    }
  }

  #at(address: IpAddress): Map<number, Fd> {
    let held = this.#byAddress.get(address);
    if (held === undefined) this.#byAddress.set(address, (held = new Map<number, Fd>()));
    return held;
  }

  #close(address: IpAddress, key: number): void {
    const held = this.#byAddress.get(address);
    const fd = held?.get(key);
    if (held === undefined || fd === undefined) return;
    fd.close();
    held.delete(key);
    this.#count--;
    if (held.size === 0) this.#byAddress.delete(address);
  }

  [Symbol.dispose](): void {
    for (const held of this.#byAddress.values()) for (const fd of held.values()) fd.close();
    this.#byAddress.clear();
  }
}

/** Docker's when the kernel does not say: IANA's dynamic ports, RFC 6335 section 6. */
const DYNAMIC: PortRange = { from: 49_153, to: 65_535 };

/** As the contract says. */
export function automaticPorts(): { readonly range: PortRange; readonly reserved: readonly PortRange[] } {
  const [from, to] = readSysctl('ip_local_port_range').split(/\s+/).map(Number);
  const reserved = readSysctl('ip_local_reserved_ports')
    .split(',')
    .filter((part) => part !== '')
    .map((part) => {
      const [first = 0, last = first] = part.split('-').map(Number);
      return { from: first, to: last };
    });
  const known = from !== undefined && to !== undefined && from > 0 && to >= from;
  return { range: known ? { from, to } : DYNAMIC, reserved };
}

function readSysctl(name: string): string {
  try {
    return readFileSync(`/proc/sys/net/ipv4/${name}`, 'utf8').trim();
  } catch {
    return '';
  }
}
