// test-timeout: 420 s
/** `make demo-hosts` shows what it should, and leaves nothing. It checks its own steps; this checks that it took them. */
import assert from 'node:assert/strict';
import { resolve } from 'node:path';
import { it } from 'node:test';
import { run } from '../support/daemon.ts';
import { NO_ETCD } from '../support/etcd.ts';

const PROGRAM = resolve(import.meta.dirname, '../../tools/demo-hosts.ts');

it('the demonstration of three hosts', { skip: NO_ETCD }, async () => {
  const { code, stdout, stderr } = await run(process.execPath, [PROGRAM], { timeoutMs: 400_000 });
  assert.equal(code, 0, stdout + stderr);
  assert.equal(stderr, '');
  assert.ok(!stdout.includes('\u001b'), 'no colour, as this is no terminal');
  for (const backend of ['host-gw', 'vxlan', 'udp'])
    assert.match(stdout, new RegExp(`^h1 \\$ moor network create -d routed .* -o backend=${backend} pods$`, 'm'));
  for (const line of [
    /^h1 \$ moor node ls\n.*\n {2}h1 \* .* ready\n {2}h2 .* ready\n {2}h3 .* ready\n/m,
    /^ {2}10\.244\.\d+\.0\/24 via 10\.9\.0\.2 dev eth1 proto static/m,
    /^ {2}(?:\S\S:){5}\S\S dst 10\.9\.0\.2 self permanent$/m,
    /^ {2}10\.244\.\d+\.0\/24 dev moor-udp0 proto static/m,
    /^ {2}══╦══ 10\.9\.0\.0\/24, /m,
    /^ {2} {2}╠══ h2\n {2} {2}║ {3}├─ eth1 {2}10\.9\.0\.2\/24$/m,
    /^ {2} {2}║ {3}(?:│ {2}| {3})└─ veth[0-9a-f]{7} ═══ \[ two: eth0 {2}10\.244\.\d+\.2\/24/m,
    /^h3 dies: .*\n(?:.*\n)*?h1 \$ moor node ls\n.*\n {2}h1 \* .*\n {2}h2 .*\nh1 /m,
    /^h3 comes back, .*\n(?:.*\n)*? {2}h3 .* ready\n/m,
    /^ {2}WAY +MTU +1 STREAM +4 STREAMS +ROUND TRIP\n {2}host-gw +1500 .*\n {2}vxlan +1450 .*\n {2}udp +1472 +[\d.]+ Gbit\/s +[\d.]+ Gbit\/s +[\d.]+ ms\n {2}overlay +1450 .* ms\n/m,
    /^ {2}10\.0\.0\.\d lladdr (?:\S\S:){5}\S\S PERMANENT$/m,
    /^ {2} {2}║ {3}[├└]─ br0 {2}10\.0\.0\.1\/24 {2}network pods$/m,
    /[├└]─ vxlan0 ═══ \[ VXLAN to 10\.9\.0\.\d, 10\.9\.0\.\d \]$/m,
    /^# the three hosts: no link, .* is left$/m,
    /^# the machine: the same links, .* no process is left$/m,
  ]) {
    assert.match(stdout, line);
  }
  // By each way, around the three hosts.
  for (const [asker, asked] of [
    ['h1', 'two on h2'],
    ['h2', 'three on h3'],
    ['h3', 'one on h1'],
  ] as const) {
    const pages = stdout.match(
      new RegExp(
        `^${asker} \\$ moor exec \\w+ -- curl -s http://${asked.split(' ')[0]}/\\n  hello 10\\.[\\d.]+, this is ${asked}$`,
        'gm',
      ),
    );
    assert.equal(pages?.length, 4, stdout);
  }
});
