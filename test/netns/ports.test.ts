/** Published ports by real packets: who reaches them, and under which address. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { HOST4, HOST6, WORLD4, WORLD6 } from './lab.ts';
import { at, HERE } from './packets.ts';
import { asking, binding, bridgeNf, createPortsLab } from './ports-lab.ts';

const FAMILIES = [
  { name: 'IPv4', any: '0.0.0.0', local: '127.0.0.1', host: HOST4, world: WORLD4, gateway: '10.1.0.1' },
  { name: 'IPv6', any: '::', local: '::1', host: HOST6, world: WORLD6, gateway: 'fd00:1::1' },
] as const;

/** A single port that changes its number, and a range, of which a port in the middle is asked. */
const PORTS = { single: { ports: '8080:80', ask: 8080 }, range: { ports: '9000-9999', ask: 9123 } };

for (const nf of ['0', '1'] as const) {
  describe(`bridge-nf-call-iptables=${nf}`, () => {
    for (const { name, any, local, host, world, gateway } of FAMILIES) {
      for (const [binds, address] of [
        ['any address', any],
        ['one address', host],
        ['localhost only', local],
      ] as const) {
        test(`${name}, ${binds}`, async () => {
          await using lab = await createPortsLab({ prepare: bridgeNf(nf) });
          const one = await lab.network('10.1.0.0/24 fd00:1::/64');
          const two = await lab.network('10.2.0.0/24 fd00:2::/64');
          const [a, b, c] = [await lab.sandbox(one, 2), await lab.sandbox(one, 3), await lab.sandbox(two, 2)];
          for (const protocol of ['tcp', 'udp'] as const) {
            for (const port of [80, 9123]) await lab.agentAt(a.place).listen(protocol, port);
            for (const { ports } of Object.values(PORTS)) await lab.publish(one, a, binding(address, `${ports}/${protocol}`));
          }
          await at(HERE, 'ip', '-6', 'route', 'add', 'default', 'via', WORLD6);
          // With br_netfilter the kernel has no way back to ::1: refused at once.
          const localhost = address === host || (name === 'IPv6' && nf === '1') ? 'no' : gateway;
          const outer = address === local ? 'no' : null;
          const clients = [
            ['the world', lab.world, host, outer ?? world],
            ['localhost', HERE, local, localhost],
            ['the host', HERE, host, outer ?? host],
            ['another network', c.place, host, outer ?? (name === 'IPv4' ? c.ip : c.ip6)],
            ['the same network', b.place, host, outer ?? gateway],
            ['itself', a.place, host, outer ?? gateway],
          ] as const;
          const cells = (['tcp', 'udp'] as const).flatMap((protocol) =>
            Object.entries(PORTS).flatMap(([kind, { ask }]) =>
              clients.map(([who, place, to, expected]) => ({
                protocol,
                name: `${protocol} ${kind} ${who}`,
                place,
                to,
                ask,
                expected,
              })),
            ),
          );
          const seen = await Promise.all(
            cells.map(async ({ protocol, name: cell, place, to, ask, expected }) => {
              // A UDP client is told by ICMP, of which the kernel sends only so many.
              const how = asking(lab.agentAt(place), protocol === 'udp' && expected === 'no' ? 'silence' : expected);
              const answer = await how(protocol, to, ask);
              const not = answer === 'refused' || (protocol === 'udp' && answer === 'silence');
              return `${cell}: ${not ? 'no' : answer}`;
            }),
          );
          await at(HERE, 'ip', '-6', 'route', 'del', 'default', 'via', WORLD6);
          assert.deepEqual(
            seen,
            cells.map(({ name: cell, expected }) => `${cell}: ${expected}`),
          );
        });
      }
    }
  });
}
