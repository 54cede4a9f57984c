import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { IfAddress, IpAddress, Prefix } from '../base/ip.ts';
import { addAddress } from './address.ts';
import { failureOf, Lab, type LabNamespace, type Shown } from './lab.testing.ts';
import { addLink, setLink } from './link.ts';
import { addRoute, deleteRoute, dumpRoutes, replaceRoute, type RouteInfo, type RouteSpec } from './route.ts';
import { addRule, deleteRule, dumpRules, type RuleSpec } from './rule.ts';

const p = (text: string): Prefix => text as Prefix;
const ip = (text: string): IpAddress => text as IpAddress;

/** Link `a` (11) with 10.0.0.2/24 and fd00::2/64, and its peer. */
function withAddresses(lab: Lab): LabNamespace {
  const host = lab.namespace('host');
  host.apply(
    addLink({ name: 'a', index: 11, up: true, kind: { type: 'veth', peer: { name: 'b', index: 12 } } }),
    setLink(12, { up: true }),
    addAddress(11, '10.0.0.2/24' as IfAddress),
    addAddress(11, 'fd00::2/64' as IfAddress, { nodad: true }),
  );
  return host;
}

/** Words of `ip route add`, and the route that they are. */
const ROUTES: readonly (readonly [words: string, route: RouteSpec])[] = [
  ['default via 10.0.0.1', { destination: p('0.0.0.0/0'), via: ip('10.0.0.1') }],
  ['10.1.0.0/16 dev if11', { destination: p('10.1.0.0/16'), device: 11 }],
  ['10.2.0.0/16 via 10.0.0.9 dev if11 metric 77', { destination: p('10.2.0.0/16'), via: ip('10.0.0.9'), device: 11, metric: 77 }],
  [
    '10.3.0.0/16 via 172.30.0.1 dev if11 onlink',
    { destination: p('10.3.0.0/16'), via: ip('172.30.0.1'), device: 11, onlink: true },
  ],
  ['blackhole 10.4.0.0/16', { destination: p('10.4.0.0/16'), type: 'blackhole' }],
  ['unreachable 10.5.0.0/16 metric 9', { destination: p('10.5.0.0/16'), type: 'unreachable', metric: 9 }],
  ['prohibit 10.6.0.0/16', { destination: p('10.6.0.0/16'), type: 'prohibit' }],
  ['10.7.0.0/16 dev if11 src 10.0.0.2', { destination: p('10.7.0.0/16'), device: 11, source: ip('10.0.0.2') }],
  ['10.8.0.1/32 dev if11 scope link', { destination: p('10.8.0.1/32'), device: 11, scope: 'link' }],
  ['10.9.0.0/16 via 10.0.0.1 table 100', { destination: p('10.9.0.0/16'), via: ip('10.0.0.1'), table: 100 }],
  ['10.10.0.0/16 via 10.0.0.1 table 70000', { destination: p('10.10.0.0/16'), via: ip('10.0.0.1'), table: 70000 }],
  ['10.11.0.0/16 via 10.0.0.1 mtu 1280', { destination: p('10.11.0.0/16'), via: ip('10.0.0.1'), mtu: 1280 }],
  ['10.12.0.0/16 via inet6 fd00::1 dev if11', { destination: p('10.12.0.0/16'), via: ip('fd00::1'), device: 11 }],
  ['::/0 via fd00::1', { destination: p('::/0'), via: ip('fd00::1') }],
  ['fd01::/64 dev if11 metric 5', { destination: p('fd01::/64'), device: 11, metric: 5 }],
  ['fd02::/64 via fd99::1 dev if11 onlink', { destination: p('fd02::/64'), via: ip('fd99::1'), device: 11, onlink: true }],
  ['blackhole fd03::/64', { destination: p('fd03::/64'), type: 'blackhole' }],
  ['local ::1/128 dev if11 metric 7 table main', { destination: p('::1/128'), type: 'local', device: 11, metric: 7 }],
  ['unreachable fd04::/64 table 70000', { destination: p('fd04::/64'), type: 'unreachable', table: 70000 }],
  [
    'fd05::/64 via fd00::1 src fd00::2 mtu 1300',
    { destination: p('fd05::/64'), via: ip('fd00::1'), source: ip('fd00::2'), mtu: 1300 },
  ],
];

/** All routes as ip(8) sees them, in its own words, without what the kernel adds by itself. */
const listing = (host: LabNamespace): readonly Shown[] =>
  [4, 6].flatMap((family) =>
    host.show(`ip -${family} -j -d route show table all`).filter((route) => route['protocol'] === 'static'),
  );

test('routes arrive as iproute2 would have added them', () => {
  using lab = new Lab();
  const ours = withAddresses(lab);
  using other = new Lab();
  const theirs = withAddresses(other);
  for (const [words, route] of ROUTES) {
    const request = addRoute(route);
    assert.equal(request.what, `ip route add ${words}`);
    ours.apply(request);
    const family = route.destination.includes(':') ? 6 : 4;
    theirs.run(`ip -${family} route add ${words.replace('if11', 'a')} proto static`);
  }
  const routes = listing(ours);
  assert.equal(routes.length, ROUTES.length);
  assert.deepEqual(routes, listing(theirs));
});

test('a dump says what was asked for, and the kernel filters by table', () => {
  using lab = new Lab();
  const host = withAddresses(lab);
  host.apply(...ROUTES.map(([, route]) => addRoute(route)));
  const found = [...host.route.collect(dumpRoutes(4)), ...host.route.collect(dumpRoutes(6))];
  const ours = found.filter(({ protocol }) => protocol === 4);
  const key = (route: RouteSpec): string => String(route.destination);
  assert.deepEqual(ours.map(key).toSorted(), ROUTES.map(([, route]) => key(route)).toSorted());
  for (const [, wanted] of ROUTES) {
    const is = ours.find((route) => key(route) === key(wanted));
    assert.ok(is);
    assert.deepEqual(is, { type: 'unicast', table: 254, protocol: 4, ...wanted, ...defaults(wanted) });
  }
  assert.deepEqual(host.route.collect(dumpRoutes(4, { table: 100 })).map(key), ['10.9.0.0/16']);
  assert.deepEqual(host.route.collect(dumpRoutes(4, { table: 70000 })).map(key), ['10.10.0.0/16']);
  assert.deepEqual(host.route.collect(dumpRoutes(6, { table: 70000 })).map(key), ['fd04::/64']);
  // What the kernel makes by itself can be told apart; local and broadcast routes do not show.
  assert.deepEqual(found.filter(({ protocol }) => protocol === 2).map(key), [
    '10.0.0.0/24',
    'fd00::/64',
    'fe80::/64',
    'fe80::/64',
  ]);
});

/** What the kernel fills in. */
function defaults(route: RouteSpec): Partial<RouteInfo> {
  const v4 = !route.destination.includes(':');
  const link = v4 && (route.type ?? 'unicast') === 'unicast' && route.via === undefined;
  return {
    scope: route.scope ?? (link ? 'link' : 'global'),
    // Found by the kernel from the gateway.
    ...(route.via ? { device: 11 } : {}),
    // IP6_RT_PRIO_USER, <net/ip6_route.h>
    ...(v4 || route.metric !== undefined ? {} : { metric: 1024 }),
  };
}

test('dumped routes can be deleted as they are', () => {
  using lab = new Lab();
  const host = withAddresses(lab);
  host.apply(...ROUTES.map(([, route]) => addRoute(route)));
  const found = [...host.route.collect(dumpRoutes(4)), ...host.route.collect(dumpRoutes(6))].filter(
    ({ protocol }) => protocol === 4,
  );
  host.apply(...found.map((route) => deleteRoute(route)));
  assert.deepEqual(listing(host), []);
});

test('routes are deleted by what they were added with', () => {
  using lab = new Lab();
  const host = withAddresses(lab);
  host.apply(...ROUTES.map(([, route]) => addRoute(route)), ...ROUTES.map(([, route]) => deleteRoute(route)));
  assert.deepEqual(listing(host), []);
});

test('replace takes the place of a route, add does not', () => {
  using lab = new Lab();
  const host = withAddresses(lab);
  const first: RouteSpec = { destination: p('10.1.0.0/16'), via: ip('10.0.0.1') };
  host.apply(addRoute(first));
  const twice = failureOf(host.route, addRoute({ ...first, via: ip('10.0.0.7') }));
  assert.equal(twice.kind, 'conflict');
  assert.equal(twice.kernel?.operation, 'ip route add 10.1.0.0/16 via 10.0.0.7');
  host.apply(replaceRoute({ ...first, via: ip('10.0.0.7') }));
  assert.equal(host.show('ip -j route show 10.1.0.0/16')[0]?.['gateway'], '10.0.0.7');
  host.apply(deleteRoute({ destination: first.destination }));
  assert.equal(failureOf(host.route, deleteRoute(first)).kernel?.code, 'ESRCH');
});

test('a gateway that cannot be reached is refused in the words of the kernel', () => {
  using lab = new Lab();
  const host = withAddresses(lab);
  const error = failureOf(host.route, addRoute({ destination: p('0.0.0.0/0'), via: ip('192.0.2.1'), device: 11 }, 'a'));
  assert.equal(error.kind, 'invalid');
  assert.equal(error.message, 'ip route add default via 192.0.2.1 dev a: Nexthop has invalid gateway (ENETUNREACH)');
});

test('a route over several links shows its first hop', () => {
  using lab = new Lab();
  const host = withAddresses(lab);
  host.run('ip route add 10.50.0.0/16 nexthop via 10.0.0.3 dev a nexthop via 10.0.0.4 dev a');
  const [route] = host.route.collect(dumpRoutes(4)).filter(({ destination }) => destination === '10.50.0.0/16');
  assert.equal(route?.via, '10.0.0.3');
  assert.equal(route?.device, 11);
});

const RULES: readonly RuleSpec[] = [
  { family: 4, priority: 100, table: 100, from: p('10.0.0.0/8') },
  { family: 4, priority: 101, table: 70000, to: p('10.2.0.0/16'), iif: 'a', fwmark: 0x42 },
  { family: 4, priority: 102, table: 100 },
  { family: 6, priority: 103, table: 100, from: p('fd00::/64'), to: p('fd02::1/128') },
  { family: 4, priority: 104, table: 254, suppressPrefixLength: 0 },
  { family: 6, priority: 104, table: 254, suppressPrefixLength: 0 },
];

test('rules are added, shown and deleted', () => {
  using lab = new Lab();
  const host = withAddresses(lab);
  const before = [host.run('ip rule'), host.run('ip -6 rule')];
  host.apply(...RULES.map(addRule));
  assert.match(
    host.run('ip rule'),
    /^100:\tfrom 10\.0\.0\.0\/8 lookup 100 *\n101:\tfrom all to 10\.2\.0\.0\/16 fwmark 0x42 iif a lookup 70000 *\n102:\tfrom all lookup 100 *\n104:\tfrom all lookup main suppress_prefixlength 0 *$/m,
  );
  assert.match(
    host.run('ip -6 rule'),
    /^103:\tfrom fd00::\/64 to fd02::1 lookup 100 *\n104:\tfrom all lookup main suppress_prefixlength 0 *$/m,
  );
  const dumped = [...host.route.collect(dumpRules(4)), ...host.route.collect(dumpRules(6))];
  assert.deepEqual(
    dumped.filter(({ priority }) => priority >= 100 && priority < 200),
    RULES.toSorted((a, b) => a.family - b.family),
  );
  assert.equal(failureOf(host.route, addRule(RULES[0] as RuleSpec)).kernel?.code, 'EEXIST');
  host.apply(...RULES.map(deleteRule));
  assert.deepEqual([host.run('ip rule'), host.run('ip -6 rule')], before);
  assert.equal(failureOf(host.route, deleteRule(RULES[0] as RuleSpec)).kernel?.code, 'ENOENT');
});
