import assert from 'node:assert/strict';
import { it } from 'node:test';
import { draw, drawSegment } from './drawing.ts';

it('draws bridges, ports and what is behind them', () => {
  const lines = draw({
    host: [
      { name: 'lo', addresses: ['127.0.0.1/8'], master: '' },
      { name: 'uplink', addresses: ['203.0.113.1/24'], master: '', leadsTo: 'the world' },
      { name: 'br-1', addresses: ['10.0.0.1/24'], master: '' },
      { name: 'veth1', addresses: [], master: 'br-1' },
      { name: 'veth2', addresses: [], master: 'br-1' },
      { name: 'br-2', addresses: [], master: '' },
      { name: 'veth3', addresses: [], master: 'br-2' },
    ],
    sandboxes: [
      {
        name: 'one',
        links: [{ link: { name: 'eth0', addresses: ['10.0.0.2/24'], mac: '02:00:00:00:00:01', master: '' }, hostEnd: 'veth1' }],
      },
      { name: 'two', links: [{ link: { name: 'eth0', addresses: ['10.0.0.3/24'], master: '' }, hostEnd: 'veth2' }] },
    ],
    networks: new Map([
      ['br-1', 'a'],
      ['br-2', 'b'],
    ]),
    masqueraded: new Set(['br-1']),
  });
  assert.deepEqual(lines, [
    'host',
    '├─ uplink  203.0.113.1/24  ═══ [ the world ]',
    '├─ br-1  10.0.0.1/24  network a  (masqueraded to the world)',
    '│  ├─ veth1 ═══ [ one: eth0  10.0.0.2/24  02:00:00:00:00:01 ]',
    '│  └─ veth2 ═══ [ two: eth0  10.0.0.3/24 ]',
    '└─ br-2  network b',
    '   └─ veth3',
  ]);
});

it('draws hosts on one wire', () => {
  const host = (n: number) => ({
    title: `h${n}`,
    host: [{ name: 'eth1', addresses: [`10.9.0.${n}/24`], master: '' }],
    sandboxes: [],
    networks: new Map(),
    masqueraded: new Set<string>(),
  });
  assert.deepEqual(drawSegment('10.9.0.0/24', [host(1), host(2)]), [
    '══╦══ 10.9.0.0/24',
    '  ║',
    '  ╠══ h1',
    '  ║   └─ eth1  10.9.0.1/24',
    '  ║',
    '  ╚══ h2',
    '      └─ eth1  10.9.0.2/24',
  ]);
});
