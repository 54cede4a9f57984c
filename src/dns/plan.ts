/**
 * What a namespace needs so that queries to 127.0.0.11:53 come to our sockets, which have another port: 53 stays free for a DNS server of
 * the container's own. Ports are rewritten in the packet, without connection tracking, which would cost all traffic of the namespace.
 */
import type { IpAddress } from '../base/ip.ts';
import type { Change, Netns } from '../contracts/change.ts';
import type { NftTable } from '../nft/types.ts';

/** Docker's: what images and tools expect in resolv.conf. */
export const ADDRESS = '127.0.0.11' as IpAddress;
/** Privileged, and unassigned at IANA: no program listens there. */
export const PORT = 14;

const rewrite = (match: string, from: number, to: number) => (protocol: 'udp' | 'tcp', part: 'dport' | 'sport') => ({
  expr: `${match} ${protocol} ${part} ${from} ${protocol} ${part} set ${to}`,
  comment: `${protocol} ${part === 'dport' ? 'queries come to' : 'answers come from'} the resolver`,
});
const query = rewrite(`ip daddr ${ADDRESS}`, 53, PORT);
const answer = rewrite(`ip saddr ${ADDRESS}`, PORT, 53);

/**
 * Connection tracking, when a rule of the container's own has turned it on, sees the packets between the two chains (its priority is
 * -200): port 14 both ways, so that answers belong to their queries. Both are seen where they leave a socket, before the loopback.
 */
export const TABLE: NftTable = {
  family: 'ip',
  name: 'moor_dns',
  sets: [],
  chains: [
    {
      name: 'queries',
      hook: { type: 'filter', hook: 'output', priority: 'raw', policy: 'accept' },
      rules: [
        { expr: `ip daddr != ${ADDRESS} accept`, comment: 'nothing else is looked at further' },
        query('udp', 'dport'),
        query('tcp', 'dport'),
      ],
    },
    {
      name: 'answers',
      hook: { type: 'filter', hook: 'output', priority: 'mangle', policy: 'accept' },
      rules: [
        { expr: `ip saddr != ${ADDRESS} accept`, comment: 'nothing else is looked at further' },
        answer('udp', 'sport'),
        answer('tcp', 'sport'),
      ],
    },
  ],
};

export const planClient = (netns: Netns): readonly Change[] => [{ kind: 'nft-table', op: 'add', table: TABLE, netns }];
