/** Changes that the suite applies: small networks with fixed names and addresses of the documentation ranges. */
import { type IfAddress, parseIfAddress, parseIp, parsePrefix } from '../../src/base/ip.ts';
import { parseMac } from '../../src/base/mac.ts';
import { type Change, HOST, type Link, type Netns } from '../../src/contracts/change.ts';
import type { NftElement, NftTable } from '../../src/nft/types.ts';

export const TABLE: NftTable = {
  family: 'inet',
  name: 'moortest',
  sets: [
    { name: 'within', key: 'ifname . ifname', value: 'verdict' },
    { name: 'bridges', key: 'ifname' },
    { name: 'subnets', key: 'ipv4_addr', flags: ['interval'] },
    { name: 'publish', key: 'inet_proto . inet_service', value: 'ipv4_addr . inet_service' },
  ],
  chains: [
    {
      name: 'forward',
      hook: { type: 'filter', hook: 'forward', priority: 'filter', policy: 'accept' },
      rules: [
        { expr: 'ct state established,related accept', comment: 'replies' },
        { expr: 'iifname . oifname vmap @within', comment: 'within' },
      ],
    },
    { name: 'internal', rules: [{ expr: 'drop', comment: 'internal' }] },
  ],
};

/** A table such as another tool keeps, with a chain for rules of guests. */
export const FOREIGN: NftTable = {
  family: 'ip',
  name: 'foreign',
  sets: [],
  chains: [
    { name: 'USER', rules: [{ expr: 'return', comment: 'theirs' }] },
    {
      name: 'FORWARD',
      hook: { type: 'filter', hook: 'forward', priority: 'filter', policy: 'drop' },
      rules: [{ expr: 'jump USER', comment: 'user' }],
    },
  ],
};

export const MAC = parseMac('02:42:c0:00:02:05');
export const REF = { family: TABLE.family, name: TABLE.name } as const;

export const netns = (path: string): Change => ({ kind: 'netns', op: 'add', path });
export const link = (value: Link, where: Netns = HOST): Change => ({ kind: 'link', op: 'add', netns: where, link: value });
export const bridge = (name: string, more: Partial<Link> = {}): Change =>
  link({ name, up: true, kind: { type: 'bridge', multicastSnooping: false, forwardDelay: 0 }, ...more });
export const pair = (name: string, where: Netns, more: Partial<Link> = {}): Change =>
  link({ name, up: true, kind: { type: 'veth', peer: { name: 'eth0', netns: where } }, ...more });
export const up = (where: Netns, name: string): Change => ({
  kind: 'link-set',
  netns: where,
  name,
  value: { up: true },
  old: { up: false },
});
export const address = (where: Netns, device: string, text: string): Change => ({
  kind: 'address',
  op: 'add',
  netns: where,
  device,
  address: parseIfAddress(text),
  // Otherwise a tentative address cannot be used for a second.
  ...(text.includes(':') ? { nodad: true } : {}),
});
export const defaultRoute = (where: Netns, via: string, device = 'eth0'): Change => ({
  kind: 'route',
  op: 'add',
  netns: where,
  route: { destination: parsePrefix(via.includes(':') ? '::/0' : '0.0.0.0/0'), via: parseIp(via), device },
});
export const element = (set: string, key: string, value?: string): Change => ({
  kind: 'nft-element',
  op: 'add',
  table: REF,
  element: { set, key, ...(value === undefined ? {} : { value }) } satisfies NftElement,
});
export const table: Change = { kind: 'nft-table', op: 'add', table: TABLE };

/** As the name service has one in each sandbox. */
export const INNER: NftTable = {
  family: 'ip',
  name: 'moortest_inner',
  sets: [],
  chains: [
    {
      name: 'out',
      hook: { type: 'filter', hook: 'output', priority: '-310', policy: 'accept' },
      rules: [{ expr: 'ip daddr 127.0.0.11 udp dport 53 udp dport set 14', comment: 'queries' }],
    },
  ],
};
export const inner = (where: Netns): Change => ({ kind: 'nft-table', op: 'add', table: INNER, netns: where });

/** Never works: no device has this name. */
export const IMPOSSIBLE: Change = { kind: 'link-set', netns: HOST, name: 'nosuchdev', value: { up: true }, old: { up: false } };

export const network = (name: string, gateway: string): readonly Change[] => [
  bridge(name, { alias: `moor:test:${name}`, mtu: 1500 }),
  address(HOST, name, gateway),
  element('within', `"${name}" . "${name}"`, 'accept'),
  element('bridges', `"${name}"`),
];

export interface Endpoint {
  readonly name: string;
  readonly bridge: string;
  readonly netns: Netns;
  readonly address: string;
  readonly gateway: string;
}

export const endpoint = (e: Endpoint): readonly Change[] => [
  pair(e.name, e.netns, { master: e.bridge, alias: `moor:test:${e.name}`, mtu: 1500 }),
  up(e.netns, 'eth0'),
  address(e.netns, 'eth0', e.address),
  defaultRoute(e.netns, e.gateway),
  element('bridges', `"${e.name}"`),
];

export const ifAddress = (text: string): IfAddress => parseIfAddress(text);
