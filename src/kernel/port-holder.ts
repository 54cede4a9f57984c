/** Which program has a port: from the port to its socket, from the socket to a process. Only asked when a port was refused. */
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { endianness } from 'node:os';
import { familyOf, type IpAddress, ipFromBytes } from '../base/ip.ts';
import type { HostPortRefusal, PortHolder } from '../contracts/host-ports.ts';

/** null when nobody can be named: a connection in TIME_WAIT belongs to no process, and processes of an outer pid namespace are not seen. */
export function findHolder({ protocol, address, port }: HostPortRefusal): PortHolder | null {
  if (protocol === 'sctp') return null;
  // An IPv6 socket that is not IPv6 alone has the port in both families.
  const sockets = new Set([...inodes(protocol, { address, port }), ...inodes(`${protocol}6`, { address, port })]);
  return sockets.size === 0 ? null : processWith(sockets);
}

interface Place {
  readonly address: IpAddress;
  readonly port: number;
}

/** Sockets on a port that clash with an address. The tables are described in proc_net_tcp.txt of the kernel's documentation. */
function inodes(table: string, { address, port }: Place): string[] {
  return read(`/proc/thread-self/net/${table}`)
    .split('\n')
    .slice(1)
    .flatMap((line) => {
      const [, local = '', , , , , , , , inode = '0'] = line.trim().split(/\s+/);
      const [hex = '', number = ''] = local.split(':');
      return Number.parseInt(number, 16) === port && inode !== '0' && clashes(hexAddress(hex), address) ? [inode] : [];
    });
}

/** Words of 32 bits in the byte order of the machine. */
function hexAddress(hex: string): IpAddress {
  const bytes = Uint8Array.fromHex(hex);
  if (endianness() === 'LE') for (let at = 0; at < bytes.length; at += 4) bytes.subarray(at, at + 4).reverse();
  return ipFromBytes(bytes);
}

const isAny = (address: IpAddress): boolean => address === '0.0.0.0' || address === '::';

function clashes(theirs: IpAddress, ours: IpAddress): boolean {
  if (theirs === ours || theirs === '::' || theirs === `::ffff:${ours}`) return true;
  return familyOf(theirs) === familyOf(ours) && (isAny(theirs) || isAny(ours));
}

function processWith(sockets: ReadonlySet<string>): PortHolder | null {
  for (const pid of list('/proc')) {
    if (!/^\d+$/.test(pid)) continue;
    for (const fd of list(`/proc/${pid}/fd`)) {
      const inode = /^socket:\[(\d+)\]$/.exec(link(`/proc/${pid}/fd/${fd}`))?.[1];
      if (inode === undefined || !sockets.has(inode)) continue;
      // A program chooses its name itself.
      const name = read(`/proc/${pid}/comm`)
        .replaceAll(/[^\x21-\x7e]+/g, ' ')
        .trim();
      return { name: name === '' ? 'a process' : name, pid: Number(pid) };
    }
  }
  return null;
}

// Processes end while we look.
const read = (path: string): string => orEmpty(() => readFileSync(path, 'utf8'), '');
const list = (path: string): readonly string[] => orEmpty(() => readdirSync(path), []);
const link = (path: string): string => orEmpty(() => readlinkSync(path), '');

function orEmpty<T>(look: () => T, empty: T): T {
  try {
    return look();
  } catch {
    return empty;
  }
}
