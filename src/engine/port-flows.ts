/**
 * Connections that the kernel has to forget when ports come and go. It decides about a connection's translation with its first packet: a UDP
 * client that sends on and on would be answered as before for ever.
 */
import { addressOf, type Family, familyOf, type IpAddress } from '../base/ip.ts';
import type { Change } from '../contracts/change.ts';
import type { HostFacts } from '../contracts/kernel.ts';
import type { PortBinding } from '../model/ports.ts';
import { isAny } from './port-table.ts';
import type { Ways } from './way.ts';

/** Without a handshake; who starts a TCP connection begins anew. */
export const isLasting = ({ protocol }: PortBinding): boolean => protocol === 'udp';

/**
 * For ports that are published: whatever went to these ports of the host before, as nothing can have come to us.
 * @param translated false, when only their rules are back: what went to the host itself meanwhile
 */
export const staleFlows = (ports: readonly PortBinding[], { addresses }: HostFacts, translated?: false): Change[] =>
  ports.filter(isLasting).map(({ protocol, hostAddress, hostPorts }) => {
    const family = familyOf(hostAddress);
    const own = addresses.map(addressOf).filter((address) => familyOf(address) === family);
    const destinations: readonly IpAddress[] = isAny(hostAddress) ? own : [hostAddress];
    const tuple = { family, protocol, destinations, destinationPorts: hostPorts };
    return { kind: 'conntrack', tuple: translated === undefined ? tuple : { ...tuple, translated } };
  });

/** For ports that are not published any more: what they led to the endpoint. */
export const endedFlows = (ports: readonly PortBinding[], ways: Ways): Change[] =>
  ports.flatMap(({ protocol, hostAddress, hostPorts }): Change[] => {
    const family: Family = familyOf(hostAddress);
    const inside = family === 4 ? ways.v4?.endpoint.ipv4 : ways.v6?.endpoint.ipv6;
    if (inside === null || inside === undefined) return [];
    const tuple = { family, protocol, destinationPorts: hostPorts, replySource: addressOf(inside), translated: true } as const;
    return [{ kind: 'conntrack', tuple }];
  });
