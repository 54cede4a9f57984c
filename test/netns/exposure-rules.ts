/** Small rulesets at random, of the kinds that people write: by nft and by iptables. All are right; what they do is anybody's guess. */
import type { Random } from '../support/random.ts';
import { CONTAINER4, CONTAINER6, PORT, TARGET_PORT } from './exposure-lab.ts';

const HOOKS = [
  ['prerouting', [-300, -150, -50]],
  ['forward', [-150, -10, 0, 10]],
  ['forward', [0]],
  ['postrouting', [-150, 0, 150]],
  ['input', [0]],
  ['output', [-300, -150, 0]],
] as const;

/** Conditions; each is right in every hook of an `inet` table. */
const CONDITIONS: readonly ((r: Random) => string)[] = [
  (r) => `iifname ${r.pick(['', '!= '])}${r.pick(['"up0"', '"lan0"', '"br-t"', '"br-*"', '{ "up0", "br-o" }', '"lo"'])}`,
  (r) =>
    `ip saddr ${r.pick(['', '!= '])}${r.pick(['198.51.100.0/24', '198.51.100.2', '{ 198.51.100.3, 203.0.113.0/24 }', '198.51.100.3-198.51.100.80', '10.0.0.0/8', '@some'])}`,
  (r) =>
    `ip daddr ${r.pick(['', '!= '])}${r.pick([CONTAINER4, '198.51.100.1', '10.1.0.0/24', '198.51.100.64/26', '{ 127.0.0.0/8, 203.0.113.99 }'])}`,
  (r) => `ip6 saddr ${r.pick(['', '!= '])}${r.pick(['2001:db8:1::/64', '2001:db8:1::99', CONTAINER6])}`,
  (r) =>
    `tcp dport ${r.pick([String(PORT), String(TARGET_PORT), `{ ${TARGET_PORT}, 443, ${PORT}-9000 }`, '1-1023', `!= ${TARGET_PORT}`, '>= 1024', '< 100'])}`,
  (r) => `udp dport ${r.pick([String(PORT), String(TARGET_PORT), '!= 53'])}`,
  (r) => `th sport ${r.pick([String(TARGET_PORT), `!= ${TARGET_PORT}`, '< 1024', '1024-65535'])}`,
  (r) =>
    `ct state ${r.pick(['new', 'established,related', 'established', 'new,established', 'invalid', '{ new, untracked }', '!= established', 'untracked'])}`,
  (r) => `ct status ${r.pick(['dnat', 'snat', '& dnat == dnat', '& (snat|dnat) == 0'])}`,
  (r) => `ct direction ${r.pick(['original', 'reply'])}`,
  (r) => `meta l4proto ${r.pick(['tcp', 'udp', '!= tcp', '{ tcp, icmp }'])}`,
  (r) => `meta nfproto ${r.pick(['ipv4', 'ipv6'])}`,
  (r) => `meta mark ${r.pick(['0', '!= 0', '& 0x1000 == 0x1000', '0x1000'])}`,
  (r) => `fib daddr type ${r.pick(['local', 'unicast', '!= local'])}`,
  (r) => `fib saddr type ${r.pick(['local', 'unicast'])}`,
  (r) => `meta iifkind ${r.pick(['"bridge"', '"veth"', '!= "bridge"'])}`,
  (r) => `iifname . th dport { "up0" . ${r.pick([PORT, TARGET_PORT])}, "br-o" . ${TARGET_PORT} }`,
  (r) => `ip saddr . ip daddr { 198.51.100.0/24 . ${r.pick([CONTAINER4, '198.51.100.1'])}, 203.0.113.2 . 0.0.0.0/0 }`,
  () => `ct original ip daddr 198.51.100.1`,
  (r) => `tcp flags ${r.pick(['syn', '& (syn|ack) == syn', '& (fin|syn|rst|ack) == syn'])}`,
  () => 'limit rate 1000/second burst 1000 packets',
  () => 'counter',
];

/** Only where there is an output device. */
const OUT: readonly ((r: Random) => string)[] = [
  (r) => `oifname ${r.pick(['', '!= '])}${r.pick(['"br-t"', '"up0"', '{ "br-t", "lan0" }', '"lo"'])}`,
  (r) => `iifname . oifname { "up0" . "br-t", "br-t" . ${r.pick(['"up0"', '"lan0"'])} }`,
];

const vmap = (r: Random): string =>
  r.pick([
    `ct state vmap { established : accept, related : accept, invalid : drop }`,
    `th dport vmap { ${TARGET_PORT} : ${r.pick(['drop', 'accept', 'jump more'])}, ${PORT} : accept }`,
    `ip saddr vmap { 198.51.100.2 : drop, 198.51.100.3 : accept, 203.0.113.0/25 : jump more }`,
    `iifname vmap { "up0" : jump more, "br-o" : drop }`,
    `meta l4proto . th dport vmap { tcp . ${TARGET_PORT} : jump more, udp . ${TARGET_PORT} : drop }`,
  ]);

function rule(
  r: Random,
  { out, deep, refuse }: { readonly out: boolean; readonly deep: boolean; readonly refuse: boolean },
): string {
  const count = r.below(4);
  const conditions = Array.from({ length: count }, () => r.pick(out ? [...CONDITIONS, ...OUT] : CONDITIONS)(r));
  if (!deep && r.chance(0.15)) return [...conditions.slice(0, 1), vmap(r)].join(' ');
  const verdicts = ['accept', 'accept', 'drop', 'return', 'meta mark set 0x1000', 'meta mark set meta mark or 0x2000'];
  if (!deep) verdicts.push('jump more', 'goto more');
  if (refuse) verdicts.push('reject');
  return [...conditions, r.pick(verdicts)].join(' ');
}

/** Without it nobody finds anybody by IPv6. */
const NEIGHBOURS = 'meta l4proto ipv6-icmp accept';

/** @returns a table for `nft -f` */
export function nftRules(r: Random): string {
  const chains = Array.from({ length: 1 + r.below(3) }, (_, at) => {
    const [hook, priorities] = r.pick(HOOKS);
    const out = hook !== 'prerouting' && hook !== 'input';
    const refuse = hook === 'forward' || hook === 'input' || hook === 'output';
    const rules = Array.from({ length: r.below(6) }, () => rule(r, { out, deep: false, refuse }));
    const policy = r.chance(0.35) ? 'drop' : 'accept';
    return `chain base${at} { type filter hook ${hook} priority ${r.pick(priorities)}; policy ${policy};\n    ${NEIGHBOURS}\n    ${rules.join('\n    ')}\n  }`;
  });
  const more = Array.from({ length: r.below(4) }, () => rule(r, { out: false, deep: true, refuse: false }));
  return `table inet anything {
  set some { type ipv4_addr; flags interval; elements = { 198.51.100.3, 203.0.113.64/26, 10.2.0.0/16 } }
  chain more {
    ${more.join('\n    ')}
  }
  ${chains.join('\n  ')}
}`;
}

const XT: readonly ((r: Random) => string)[] = [
  (r) => `${r.pick(['', '! '])}-i ${r.pick(['up0', 'lan0', 'br-t', 'br-+'])}`,
  (r) => `${r.pick(['', '! '])}-s ${r.pick(['198.51.100.0/24', '198.51.100.2', '203.0.113.2', '10.0.0.0/8'])}`,
  (r) => `${r.pick(['', '! '])}-d ${r.pick([CONTAINER4, '198.51.100.1', '10.1.0.0/24'])}`,
  (r) =>
    `-p ${r.pick(['tcp', 'udp'])} ${r.pick([`--dport ${TARGET_PORT}`, `--dport ${PORT}`, `! --dport ${TARGET_PORT}`, '--sport 1:1023', `-m multiport --dports ${TARGET_PORT},443,8000:9000`, `-m multiport ! --ports-x`])}`,
  (r) =>
    `-m conntrack ${r.pick(['', '! '])}--ctstate ${r.pick(['NEW', 'RELATED,ESTABLISHED', 'DNAT', 'INVALID', 'NEW,SNAT', 'UNTRACKED'])}`,
  (r) => `-m conntrack --ctdir ${r.pick(['ORIGINAL', 'REPLY'])}`,
  (r) => `-m conntrack --ctstatus ${r.pick(['SEEN_REPLY', 'CONFIRMED'])} --ctstate NEW`,
  (r) => `-m addrtype ${r.pick(['', '! '])}--dst-type ${r.pick(['LOCAL', 'UNICAST'])}`,
  (r) => `-m addrtype --src-type ${r.pick(['LOCAL', 'UNICAST'])}`,
  (r) => `-m mark ${r.pick(['', '! '])}--mark ${r.pick(['0x1000/0x1000', '0', '0x3000/0x3000'])}`,
  (r) => `-m iprange ${r.pick(['', '! '])}--src-range 198.51.100.3-198.51.100.80`,
  (r) => `-p tcp ${r.pick(['--syn', '! --syn', '--tcp-flags SYN,ACK SYN'])}`,
  () => '-m limit --limit 1000/sec --limit-burst 1000',
  () => '-m comment --comment said',
];

const XT_CHAINS = [
  ['filter', 'FORWARD', true],
  ['filter', 'FORWARD', true],
  ['filter', 'INPUT', true],
  ['filter', 'OUTPUT', true],
  ['mangle', 'PREROUTING', false],
  ['mangle', 'FORWARD', false],
  ['mangle', 'POSTROUTING', false],
  ['raw', 'PREROUTING', false],
] as const;

/** @returns lines of arguments for iptables */
export function iptablesRules(r: Random): readonly string[] {
  const lines = ['-t filter -N MORE'];
  if (r.chance(0.5)) lines.push('-t filter -P FORWARD DROP');
  for (let left = 2 + r.below(8); left > 0; left--) {
    const [table, chain, refuse] = r.pick(XT_CHAINS);
    const into = table === 'filter' && r.chance(0.25) ? 'MORE' : chain;
    const options = new Map(
      Array.from({ length: r.below(3) }, () => r.pick(XT)(r)).map((text) => [/^(?:! )?(-[pids])/.exec(text)?.[1] ?? text, text]),
    );
    const conditions = [...options.values()].filter(
      (text) => !text.includes('ports-x') && ((into !== 'OUTPUT' && into !== 'POSTROUTING') || !text.includes('-i ')),
    );
    const verdicts = [
      '-j ACCEPT',
      '-j ACCEPT',
      '-j DROP',
      '-j RETURN',
      ...(refuse && into !== 'MORE' ? ['-j REJECT', '-j MORE', '-g MORE'] : []),
    ];
    if (table === 'mangle') verdicts.push('-j MARK --set-mark 0x1000/0x1000', '-j MARK --or-mark 0x2000');
    if (table === 'raw') verdicts.push('-j CT --notrack');
    lines.push(`-t ${table} -A ${into} ${[...conditions, r.pick(verdicts)].join(' ')}`);
  }
  return lines;
}
