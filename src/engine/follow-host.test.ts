import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Logger } from '../base/clock.ts';
import type { ForeignForward } from '../contracts/kernel.ts';
import { hostChange, tellRulesFollow } from './follow-host.ts';
import type { Repaired } from './repair.ts';

const DOCKER: ForeignForward = { family: 'ip', table: 'filter', chain: 'FORWARD', policy: 'drop', userChain: 'DOCKER-USER' };
const BEFORE = { uplink: 'eth0', bridgeNf: false, foreignForward: [] };

test('what changed, in words', () => {
  assert.equal(hostChange(BEFORE, { ...BEFORE }), '');
  assert.equal(
    hostChange(BEFORE, { uplink: 'wlan0', bridgeNf: true, foreignForward: [DOCKER] }),
    'its uplink is wlan0, forwarded packets pass chain FORWARD of table ip filter (policy drop), bridge-nf-call-iptables is on',
  );
  assert.equal(
    hostChange({ ...BEFORE, foreignForward: [DOCKER], unseenForward: true }, { ...BEFORE, uplink: '' }),
    'it has no uplink, nobody else looks at forwarded packets',
  );
});

test('what follows is told in one line, and what somebody broke at the same time is left', () => {
  const said: string[] = [];
  const logger = { info: (_: object, text: string) => void said.push(text) } as Partial<Logger> as Logger;
  const one = (what: string, why: string, owner = 'host'): Repaired => ({ owner, where: 'the host', what, why });
  const following = [
    one('table inet moor', 'the rules of its chain forward were changed'),
    one('element "wlan0" of set uplink', 'it was deleted'),
    one('sysctl net/ipv6/conf/wlan0/accept_ra', 'it was 1', 'a'),
  ];
  const broken = [
    one('table inet moor', 'it was deleted'),
    one('table inet moor', 'its set bridges was deleted'),
    one('sysctl net/ipv4/ip_forward', 'it was 0'),
    one('sysctl net/ipv6/conf/br-a/accept_ra', 'it was changed', 'a'),
    one('element "br-a" of set bridges', 'it was deleted', 'a'),
  ];
  assert.deepEqual(tellRulesFollow([...following, ...broken], 'its uplink is wlan0', logger), broken);
  assert.deepEqual(said, [
    'table inet moor, element "wlan0" of set uplink, sysctl net/ipv6/conf/wlan0/accept_ra in the host follow the host: its uplink is wlan0',
  ]);
  assert.deepEqual(tellRulesFollow(broken, 'its uplink is wlan0', logger), broken);
  assert.deepEqual(tellRulesFollow(following, '', logger), following);
  assert.equal(said.length, 1);
});
