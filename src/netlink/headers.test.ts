/** Compares every number, size and offset in the tables of `wire` and `sys` with what a C compiler makes of the kernel's headers. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { bpfAttr } from '../sys/bpf.ts';
import * as sysBpf from '../sys/constants-bpf.ts';
import * as sys from '../sys/constants.ts';
import type { AttributeTable, ChoiceCodec, MessageCodec } from '../wire/attributes.ts';
import type { Codec } from '../wire/codec.ts';
import { bpfProgramH, skBuff, sock, sockAddr } from '../wire/bpf/constants.ts';
import { address, cacheinfo as addressCacheinfo } from '../wire/netlink/address.ts';
import * as wire from '../wire/netlink/constants.ts';
import { flow } from '../wire/netlink/conntrack.ts';
import { nfgenmsg, nlattr, nlmsgerr, nlmsgerrAttributes, nlmsghdr } from '../wire/netlink/header.ts';
import { link } from '../wire/netlink/link.ts';
import { cacheinfo as neighbourCacheinfo, neighbour } from '../wire/netlink/neighbour.ts';
import { netconf } from '../wire/netlink/netconf.ts';
import { nftChain, nftGeneration, nftObject, nftRule } from '../wire/netlink/nftables.ts';
import { nsid } from '../wire/netlink/nsid.ts';
import { route } from '../wire/netlink/route.ts';
import { rule } from '../wire/netlink/rule.ts';
import type { Struct } from '../wire/struct.ts';

const HEADERS = [
  'sched.h',
  'fcntl.h',
  'poll.h',
  'signal.h',
  'sys/epoll.h',
  'sys/eventfd.h',
  'sys/mman.h',
  'sys/mount.h',
  'sys/resource.h',
  'sys/socket.h',
  'sys/syscall.h',
  'netinet/in.h',
  'linux/bpf.h',
  'linux/fib_rules.h',
  'linux/icmp.h',
  'linux/icmpv6.h',
  'linux/if_addr.h',
  'linux/if_link.h',
  'linux/if_tun.h',
  'linux/ethtool.h',
  'linux/sockios.h',
  'linux/magic.h',
  'linux/neighbour.h',
  'linux/netconf.h',
  'linux/net_namespace.h',
  'linux/netfilter.h',
  'linux/netfilter/nf_tables.h',
  'linux/netfilter/nfnetlink.h',
  'linux/netfilter/nfnetlink_conntrack.h',
  'linux/netlink.h',
  'linux/nsfs.h',
  'linux/openat2.h',
  'linux/rtnetlink.h',
  'linux/veth.h',
];
/** <linux/if.h> clashes with <net/if.h>, which some of the above bring in: its numbers are asked for by themselves. */
const ALONE = { header: 'linux/if.h', constants: wire.ifH };

/** C expression -> the number that we use. */
const expected = new Map<string, number>();
for (const [name, constants] of [
  ...Object.entries(wire),
  ...Object.entries(sys),
  ...Object.entries(sysBpf),
  ['bpfProgramH', bpfProgramH] as const,
]) {
  if (constants === wire.ifH) continue;
  assert.match(name, /H$/);
  for (const [c, value] of Object.entries(constants)) expected.set(c, value);
}
for (const [c, fields] of [
  ['union bpf_attr', bpfAttr],
  ['struct bpf_sock_addr', sockAddr],
  ['struct bpf_sock', sock],
  ['struct __sk_buff', skBuff],
] as const) {
  for (const [field, offset] of Object.entries(fields)) expected.set(`offsetof(${c}, ${field})`, offset);
}
const structs: Struct<string>[] = [nlmsghdr, nlattr, nlmsgerr, addressCacheinfo, neighbourCacheinfo];
const roots: Codec<unknown>[] = [
  nlmsgerrAttributes,
  link,
  address,
  route,
  rule,
  neighbour,
  netconf,
  nsid,
  flow,
  nftGeneration,
  nftObject,
  nftChain,
  nftRule,
];
let attributeCount = 0;
for (const root of roots) visit(root);
for (const { c, size, fields } of [...structs, nfgenmsg]) {
  expected.set(`sizeof(struct ${c})`, size);
  for (const field of fields) {
    expected.set(`offsetof(struct ${c}, ${field.c})`, field.offset);
    expected.set(`sizeof(((struct ${c} *)0)->${field.c})`, field.type.size);
  }
}

function visit(codec: Codec<unknown>): void {
  if ('one' in codec) visit(codec.one as Codec<unknown>);
  if ('fields' in codec) structs.push(codec as Struct<string>);
  if (!('shape' in codec)) return;
  if (codec.shape === 'message') {
    const { struct, table } = codec as MessageCodec<string, unknown>;
    structs.push(struct);
    visit(table);
  } else if (codec.shape === 'choice') {
    for (const option of Object.values((codec as ChoiceCodec<unknown>).options)) visit(option);
  } else {
    for (const entry of (codec as AttributeTable<unknown>).entries) {
      expected.set(entry.c, entry.type);
      attributeCount++;
      visit(entry.codec);
    }
  }
}

let directory = '';
before(() => {
  directory = mkdtempSync(join(tmpdir(), 'moor-headers-'));
});
after(() => rmSync(directory, { recursive: true, force: true }));

/** What the compiler says each expression is. */
function ask(headers: readonly string[], expressions: readonly string[]): Map<string, number> {
  const source = join(directory, 'ask.c');
  const program = join(directory, 'ask');
  const text = [
    '#define _GNU_SOURCE',
    ...['stddef.h', 'stdio.h', ...headers].map((header) => `#include <${header}>`),
    'int main(void) {',
    ...expressions.map((expression) => `  printf("%s\\t%lld\\n", ${JSON.stringify(expression)}, (long long)(${expression}));`),
    '  return 0;',
    '}',
  ];
  writeFileSync(source, text.join('\n'));
  execFileSync('gcc', ['-o', program, source], { stdio: ['ignore', 'ignore', 'inherit'] });
  const lines = execFileSync(program, { encoding: 'utf8' }).trimEnd().split('\n');
  return new Map(lines.map((line) => line.split('\t') as [string, string]).map(([name, value]) => [name, Number(value)]));
}

test('constants, attribute types, struct sizes and offsets are those of the C headers', () => {
  assert.ok(attributeCount > 150, `only ${attributeCount} attributes were found in the tables`);
  assert.ok(structs.length > 14, `only ${structs.length} structs were found in the tables`);
  assert.deepEqual(ask(HEADERS, [...expected.keys()]), expected);
  assert.deepEqual(ask([ALONE.header], Object.keys(ALONE.constants)), new Map(Object.entries(ALONE.constants)));
});
