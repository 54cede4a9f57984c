/** Links in the words of ip(8), for people who read a plan or an error. */
import type { LinkChange, LinkRef, NewLink, NewLinkKind, PortChange } from './link.ts';

/** `dev` in messages: a name, or an index as ip(8) shows one without a name. */
export const dev = (link: LinkRef): string => (typeof link === 'string' ? link : `if${link}`);

export function describeAdd({ name, kind, up, mtu, mac, master, netns }: NewLink): string {
  const common = [
    mtu !== undefined && `mtu ${mtu}`,
    mac && `address ${mac}`,
    master && `master ${dev(master)}`,
    up && 'up',
    netns && `netns ${netns.what}`,
  ];
  return ['ip link add', name, ...common, `type ${kind.type}`, ...describeKind(kind)].filter(Boolean).join(' ');
}

function describeKind(kind: NewLinkKind): readonly string[] {
  switch (kind.type) {
    case 'veth': {
      const { name, mac, mtu, netns } = kind.peer;
      return [
        'peer name',
        name,
        mtu === undefined ? '' : `mtu ${mtu}`,
        mac ? `address ${mac}` : '',
        netns ? `netns ${netns.what}` : '',
      ];
    }
    case 'bridge':
      return [
        kind.forwardDelay === undefined ? '' : `forward_delay ${kind.forwardDelay}`,
        kind.multicastSnooping === undefined ? '' : `mcast_snooping ${Number(kind.multicastSnooping)}`,
      ];
    case 'vxlan':
      return [
        `id ${kind.vni} dstport ${kind.port}`,
        kind.local ? `local ${kind.local}` : '',
        kind.device ? `dev ${dev(kind.device)}` : '',
        kind.learning ? 'learning' : 'nolearning',
        kind.proxy ? 'proxy' : '',
      ];
    case 'macvlan':
      return [`mode ${kind.mode} link ${dev(kind.parent)}`];
    case 'dummy':
      return [];
  }
}

export function describeSet(link: LinkRef, { up, mtu, mac, master, alias, name, netns }: LinkChange): string {
  const words = [
    netns && `netns ${netns.what}`,
    name !== undefined && `name ${name}`,
    mtu !== undefined && `mtu ${mtu}`,
    mac && `address ${mac}`,
    master !== undefined && (master === 0 ? 'nomaster' : `master ${dev(master)}`),
    alias !== undefined && `alias ${alias}`,
    up !== undefined && (up ? 'up' : 'down'),
  ];
  return ['ip link set', dev(link), ...words.filter(Boolean)].join(' ');
}

export function describePort(link: LinkRef, port: PortChange): string {
  const words = [
    onOff('isolated', port.isolated),
    onOff('hairpin', port.hairpin),
    onOff('learning', port.learning),
    onOff('flood', port.flood),
  ];
  return ['bridge link set dev', dev(link), ...words.filter(Boolean)].join(' ');
}

const onOff = (word: string, value: boolean | undefined): string =>
  value === undefined ? '' : `${word} ${value ? 'on' : 'off'}`;
