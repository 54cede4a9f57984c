/** Ports of the host in memory. A test says which ones programs have. */
import { type IpAddress, familyOf } from '../../base/ip.ts';
import type { HostPort, HostPortRefusal, HostPorts, PortHolder } from '../../contracts/host-ports.ts';
import type { PortProtocol, PortRange } from '../../model/ports.ts';

export interface FakeHostPorts extends HostPorts {
  /** `tcp 0.0.0.0 8080` */
  readonly held: ReadonlySet<string>;
  /** Programs by what they have, in the same words. */
  readonly programs: Map<string, PortHolder>;
  /** Addresses that the host does not have. */
  readonly absent: Set<IpAddress>;
  range: PortRange;
  reserved: readonly PortRange[];
  /** Everything that is held goes, as when the daemon ends. */
  readonly drop: () => void;
}

export function createFakeHostPorts(): FakeHostPorts {
  const held = new Set<string>();
  const programs = new Map<string, PortHolder>();
  const absent = new Set<IpAddress>();
  const holderOf = (protocol: PortProtocol, address: IpAddress, port: number): PortHolder | null => {
    for (const [words, program] of programs) {
      const [theirProtocol, theirAddress = '', theirPort] = words.split(' ');
      if (theirProtocol !== protocol || Number(theirPort) !== port) continue;
      const any = familyOf(address) === 4 ? '0.0.0.0' : '::';
      const sameFamily = familyOf(theirAddress as IpAddress) === familyOf(address);
      if (theirAddress === address || (sameFamily && (theirAddress === any || address === any))) return program;
    }
    return null;
  };
  const each = function* (ports: readonly HostPort[]): Generator<Omit<HostPortRefusal, 'reason'> & { readonly words: string }> {
    for (const { protocol, address, ports: range } of ports) {
      for (let port = range.from; port <= range.to; port++)
        yield { protocol, address, port, words: `${protocol} ${address} ${port}` };
    }
  };
  const fake: FakeHostPorts = {
    held,
    programs,
    absent,
    range: { from: 32_768, to: 60_999 },
    reserved: [],
    drop: () => held.clear(),
    async hold(ports) {
      for (const { protocol, address, port } of each(ports)) {
        if (absent.has(address)) return { protocol, address, port, reason: 'no-address' };
        if (holderOf(protocol, address, port) !== null) return { protocol, address, port, reason: 'in-use' };
      }
      for (const { words } of each(ports)) held.add(words);
      return null;
    },
    async release(ports) {
      for (const { words } of each(ports)) held.delete(words);
    },
    holder: async ({ protocol, address, port }) => holderOf(protocol, address, port),
    automatic: async () => ({ range: fake.range, reserved: fake.reserved }),
  };
  return fake;
}
