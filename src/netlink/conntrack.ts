/** Connection tracking: conntrack(8) `-L` and `-D`. Sockets of protocol `netfilter`. */
import type { IpAddress } from '../base/ip.ts';
import { hasCode } from '../sys/errors.ts';
import { conntrackH, familyH, nfnetlinkH, protocolH } from '../wire/netlink/constants.ts';
import { FILTER, flow as flowMessage } from '../wire/netlink/conntrack.ts';
import { change, type Query, query, type Received, type Request } from './request.ts';
import type { NetlinkSocket } from './socket.ts';

const SUBSYSTEM = nfnetlinkH.NFNL_SUBSYS_CTNETLINK << 8;
const CT_NEW = SUBSYSTEM | conntrackH.IPCTNL_MSG_CT_NEW;
const CT_GET = SUBSYSTEM | conntrackH.IPCTNL_MSG_CT_GET;
const CT_DELETE = SUBSYSTEM | conntrackH.IPCTNL_MSG_CT_DELETE;

type FlowAttributes = Parameters<typeof flowMessage.write>[1]['attributes'];
type Tuple = NonNullable<FlowAttributes['original']>;

/** One tracked connection. */
export interface Flow {
  readonly family: 4 | 6;
  /** IPPROTO_* */
  readonly protocol: number;
  readonly source: IpAddress;
  readonly destination: IpAddress;
  /** null for protocols without ports */
  readonly sourcePort: number | null;
  readonly destinationPort: number | null;
  /** Who answers: differs from `destination` after DNAT. */
  readonly replySource: IpAddress;
  /** Whom is answered: differs from `source` after SNAT. */
  readonly replyDestination: IpAddress;
  /** What names it to the kernel. */
  readonly key: { readonly original: Tuple; readonly id: number | undefined; readonly zone: number | undefined };
}

/** Which connections; absent fields match anything. */
export interface FlowFilter {
  readonly family: 4 | 6;
  readonly protocol?: 'tcp' | 'udp' | 'sctp' | undefined;
  readonly source?: IpAddress | undefined;
  readonly destination?: IpAddress | undefined;
  readonly sourcePort?: number | undefined;
  readonly destinationPort?: number | undefined;
  readonly destinations?: readonly IpAddress[] | undefined;
  readonly destinationPorts?: { readonly from: number; readonly to: number } | undefined;
  readonly replySource?: IpAddress | undefined;
  /** Whether the answers come from another address than was asked. */
  readonly translated?: boolean | undefined;
}

const PROTOCOLS = { tcp: protocolH.IPPROTO_TCP, udp: protocolH.IPPROTO_UDP, sctp: protocolH.IPPROTO_SCTP } as const;

/** All connections of a family that match. The kernel filters since Linux 5.8; older ones send all, which costs some microseconds each. */
export function dumpFlows(filter: FlowFilter): Query<Flow> {
  return query(`conntrack -L ${describe(filter)}`, CT_GET, {
    dump: true,
    codec: flowMessage,
    value: { header: { family: familyNumber(filter.family) }, attributes: kernelFilter(filter) },
    decode(message) {
      const flow = decode(message);
      return flow && matches(flow, filter) ? flow : undefined;
    },
  });
}

/**
 * What the kernel may look at; `matches` looks at everything again. Ports count only together with a protocol there, and IPv6 addresses are
 * compared the wrong way round up to Linux 6.18 at least (it sends all that differ), so they are left to us.
 */
function kernelFilter({
  family,
  protocol,
  source,
  destination,
  sourcePort,
  destinationPort,
  destinationPorts,
  replySource,
}: FlowFilter): FlowAttributes {
  const number = protocol && PROTOCOLS[protocol];
  const v4 = <T>(address: T): T | undefined => (family === 4 ? address : undefined);
  // One port of a range, one address of a list: the kernel can look for these.
  const port = destinationPort ?? (destinationPorts?.from === destinationPorts?.to ? destinationPorts?.from : undefined);
  const ip = { source4: v4(source), destination4: v4(destination) };
  const ports = number ? { sourcePort, destinationPort: port } : {};
  const original =
    (ip.source4 ? FILTER.source : 0) |
    (ip.destination4 ? FILTER.destination : 0) |
    (number ? FILTER.protocol : 0) |
    (ports.sourcePort === undefined ? 0 : FILTER.sourcePort) |
    (ports.destinationPort === undefined ? 0 : FILTER.destinationPort);
  const answers = v4(replySource);
  if (original === 0 && answers === undefined) return {};
  return {
    filter: { original, reply: answers ? FILTER.source : 0 },
    original: original === 0 ? undefined : { ip, proto: { number, ...ports } },
    reply: answers === undefined ? undefined : { ip: { source4: answers }, proto: {} },
  };
}

/**
 * The same for several filters at once: what any of them matches. A dump goes through the whole table of the kernel whatever it looks for
 * (some 5 ms with the 262,144 buckets of a large machine), so that one is better than many.
 */
function dumpAny(filters: readonly FlowFilter[]): Query<Flow> {
  const [first] = filters;
  const common = <T>(of: (filter: FlowFilter) => T): T | undefined =>
    first !== undefined && filters.every((filter) => of(filter) === of(first)) ? of(first) : undefined;
  const family = common((filter) => filter.family);
  const protocol = common((filter) => filter.protocol);
  return query('conntrack -L', CT_GET, {
    dump: true,
    codec: flowMessage,
    value: {
      header: { family: family === undefined ? 0 : familyNumber(family) }, // 0: AF_UNSPEC, both
      attributes: family === undefined ? {} : kernelFilter({ family, protocol }),
    },
    decode(message) {
      const flow = decode(message);
      return flow && filters.some((filter) => matches(flow, filter)) ? flow : undefined;
    },
  });
}

/** Forgets a connection. One that has gone: ENOENT. */
export function deleteFlow({ family, key, source, destination, protocol }: Flow): Request {
  return change(`conntrack -D -f ipv${family} -p ${protocol} -s ${source} -d ${destination}`, CT_DELETE, {
    codec: flowMessage,
    value: { header: { family: familyNumber(family) }, attributes: key },
  });
}

/**
 * Forgets all connections that match one of these.
 * @returns how many there were, by filter: the first one that matches counts
 * @throws what the kernel says, but not that one had ended meanwhile
 */
export function deleteFlows(socket: NetlinkSocket, filters: readonly FlowFilter[]): readonly number[] {
  const [first] = filters;
  if (first === undefined) return [];
  const flows = socket.collect(filters.length === 1 ? dumpFlows(first) : dumpAny(filters));
  const errors = socket.execute(flows.map(deleteFlow));
  const failure = errors.find((error) => error && !hasCode(error, 'ENOENT'));
  if (failure) throw failure;
  const counts = filters.map(() => 0);
  for (const [i, flow] of flows.entries()) {
    const at = filters.findIndex((filter) => matches(flow, filter));
    if (errors[i] === null) counts[at] = (counts[at] ?? 0) + 1;
  }
  return counts;
}

function decode(message: Received): Flow | undefined {
  if (message.type !== CT_NEW) return undefined;
  const { header, attributes } = message.read(flowMessage);
  const { original, reply, id, zone } = attributes;
  const ip = original?.ip;
  const back = reply?.ip;
  const source = ip?.source4 ?? ip?.source6;
  const destination = ip?.destination4 ?? ip?.destination6;
  const replySource = back?.source4 ?? back?.source6;
  const replyDestination = back?.destination4 ?? back?.destination6;
  if (!original || !source || !destination || !replySource || !replyDestination) return undefined;
  return {
    family: header.family === familyH.AF_INET ? 4 : 6,
    protocol: original.proto?.number ?? 0,
    source,
    destination,
    sourcePort: original.proto?.sourcePort ?? null,
    destinationPort: original.proto?.destinationPort ?? null,
    replySource,
    replyDestination,
    key: { original, id, zone },
  };
}

function matches(flow: Flow, filter: FlowFilter): boolean {
  const same = <T>(wanted: T | undefined, is: T): boolean => wanted === undefined || wanted === is;
  return (
    flow.family === filter.family &&
    same<number>(filter.protocol && PROTOCOLS[filter.protocol], flow.protocol) &&
    same(filter.source, flow.source) &&
    same(filter.destination, flow.destination) &&
    same<number | null>(filter.sourcePort, flow.sourcePort) &&
    same<number | null>(filter.destinationPort, flow.destinationPort) &&
    (filter.destinations?.includes(flow.destination) ?? true) &&
    within(filter.destinationPorts, flow.destinationPort) &&
    same(filter.translated, flow.replySource !== flow.destination) &&
    same(filter.replySource, flow.replySource)
  );
}

const within = (ports: FlowFilter['destinationPorts'], port: number | null): boolean =>
  ports === undefined || (port !== null && port >= ports.from && port <= ports.to);

function describe(filter: FlowFilter): string {
  const words = [
    `-f ipv${filter.family}`,
    filter.protocol && `-p ${filter.protocol}`,
    filter.source && `-s ${filter.source}`,
    filter.destination && `-d ${filter.destination}`,
    filter.sourcePort !== undefined && `--sport ${filter.sourcePort}`,
    filter.destinationPort !== undefined && `--dport ${filter.destinationPort}`,
    filter.replySource && `-r ${filter.replySource}`,
  ];
  return words.filter(Boolean).join(' ');
}

const familyNumber = (family: 4 | 6): number => (family === 4 ? familyH.AF_INET : familyH.AF_INET6);
