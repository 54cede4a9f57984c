/** A table and elements of every kind, for tests. */
import type { NftElement, NftTable } from './types.ts';

export const TABLE: NftTable = {
  family: 'inet',
  name: 'moor',
  sets: [
    { name: 'within', key: 'ifname . ifname', value: 'verdict' },
    { name: 'out', key: 'ifname', value: 'verdict' },
    { name: 'sources', key: 'ipv4_addr', flags: ['interval'] },
    { name: 'sources6', key: 'ipv6_addr', flags: ['interval'] },
    { name: 'publish', key: 'inet_proto . ipv4_addr . inet_service', value: 'ipv4_addr . inet_service', flags: ['interval'] },
    { name: 'marks', key: 'ipv4_addr', value: 'mark' },
    { name: 'marked', key: 'mark . ether_addr' },
  ],
  chains: [
    {
      name: 'forward',
      hook: { type: 'filter', hook: 'forward', priority: 'filter - 10', policy: 'accept' },
      rules: [
        { expr: 'ct state established,related accept', comment: 'replies' },
        { expr: 'iifname . oifname vmap @within', comment: 'within a network' },
        { expr: 'iifname "br-*" tcp dport { 22, 80 } counter', comment: "it's {odd}; #1" },
      ],
    },
    { name: 'internal', rules: [{ expr: 'drop', comment: 'internal' }] },
  ],
};

export const ELEMENTS: readonly NftElement[] = [
  { set: 'within', key: '"br-a" . "br-a"', value: 'accept' },
  { set: 'within', key: '"br-b" . "br-b"', value: 'goto internal' },
  { set: 'out', key: '"eth0.100"', value: 'jump internal' },
  { set: 'out', key: '"br-c"', value: 'drop' },
  { set: 'sources', key: '192.168.7.0/24' },
  { set: 'sources', key: '10.0.0.1' },
  { set: 'sources', key: '10.0.0.3-10.0.0.9' },
  { set: 'sources6', key: 'fd00:0:0:1::/64' },
  { set: 'publish', key: 'tcp . 0.0.0.0/0 . 8000-8010', value: '10.0.0.1 . 80' },
  { set: 'publish', key: 'udp . 10.0.0.0/24 . 53', value: '10.0.0.2 . 5353' },
  { set: 'publish', key: 'sctp . 10.0.0.7 . 9', value: '10.0.0.2 . 9' },
  { set: 'marks', key: '10.0.0.1', value: '0x00000010' },
  { set: 'marked', key: '0x0000abcd . 02:42:0a:00:00:01' },
];
