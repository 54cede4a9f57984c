/**
 * A change as the line that a person could type to do the same: dry runs, the journal and error messages show it. Words of
 * iproute2, nft(8), sysctl(8), conntrack(8) and the shell.
 */
import { familyOf } from '../base/ip.ts';
import type { Change, ConntrackTuple, FdbEntry, Link, LinkAttributes, Netns, Op, Route, RoutingRule } from './change.ts';
import { HOST } from './change.ts';

export function describe(change: Change): string {
  switch (change.kind) {
    case 'netns':
      return change.op === 'add' ? `touch ${change.path} && unshare --net=${change.path} ip link set lo up` : unpin(change.path);
    case 'netns-pin':
      return change.op === 'add' ? `touch ${change.path} && mount --bind ${change.source} ${change.path}` : unpin(change.path);
    case 'link':
      return inside(change.netns, change.op === 'add' ? addLink(change.link, change.netns) : removeLink(change.link));
    case 'link-set':
      return inside(change.netns, setLink(change.name, change.value));
    case 'address':
      return inside(change.netns, [
        words(
          'ip address',
          verb(change.op),
          change.address,
          'dev',
          change.device,
          change.op === 'add' && change.nodad ? 'nodad' : '',
        ),
      ]);
    case 'route':
      return inside(change.netns, [words('ip', v6(change.route.destination), 'route', verb(change.op), route(change.route))]);
    case 'rule':
      return inside(change.netns, [
        words('ip', change.rule.family === 6 ? '-6' : '', 'rule', verb(change.op), rule(change.rule)),
      ]);
    case 'neighbour': {
      const { address, mac, device, state } = change.neighbour;
      return inside(change.netns, [
        change.op === 'add'
          ? `ip neigh replace ${address} lladdr ${mac} dev ${device} nud ${state}`
          : `ip neigh del ${address} dev ${device}`,
      ]);
    }
    case 'fdb':
      return inside(change.netns, [fdb(change.op, change.entry)]);
    case 'sysctl':
      return inside(change.netns, [`sysctl -w ${sysctl(change.key, change.value)}`]);
    case 'offload':
      return inside(change.netns, [`ethtool -K ${change.device} tx ${change.checksums ? 'on' : 'off'}`]);
    case 'nft-table': {
      const { family, name, sets, chains } = change.table;
      const where = change.netns ?? HOST;
      if (change.op === 'remove') return inside(where, [`nft delete table ${family} ${name}`]);
      const rules = chains.reduce((sum, chain) => sum + chain.rules.length, 0);
      const what = `${count(sets.length, 'set')}, ${count(chains.length, 'chain')}, ${count(rules, 'rule')}`;
      return inside(where, [`nft add table ${family} ${name} # ${what}`]);
    }
    case 'nft-element': {
      const { set, key, value } = change.element;
      const where = `${change.table.family} ${change.table.name} ${set}`;
      if (change.op === 'remove') return `nft delete element ${where} { ${key} }`;
      return `nft add element ${where} { ${value === undefined ? key : `${key} : ${value}`} }`;
    }
    case 'nft-rule': {
      const what = `rule ${change.family} ${change.table} ${change.chain}`;
      const { expr, comment } = change.rule;
      return change.op === 'add'
        ? `nft insert ${what} ${expr} comment "${comment}"`
        : `nft delete ${what} # ${expr} comment "${comment}"`;
    }
    case 'file':
      return file(change.path, change.value, change.mode);
    case 'announce': {
      const { device, address, mac } = change;
      const what = familyOf(address) === 4 ? 'gratuitous ARP reply' : 'unsolicited neighbour advertisement';
      return inside(change.netns, [`: send from ${device} # ${what}: ${address} is at ${mac}`]);
    }
    case 'conntrack':
      return words('conntrack -D', conntrack(change.tuple));
  }
}

/** Commands joined by `&&`, each run inside the namespace. */
function inside(netns: Netns, commands: readonly string[]): string {
  const prefix = netns === HOST ? '' : `nsenter --net=${netns} `;
  return commands.map((command) => prefix + command).join(' && ');
}

function addLink(link: Link, netns: Netns): string[] {
  const { kind } = link;
  const attributes = words(
    link.mtu === undefined ? '' : `mtu ${link.mtu}`,
    link.mac === undefined ? '' : `address ${link.mac}`,
    link.master === undefined ? '' : `master ${link.master}`,
    link.alias === undefined ? '' : `alias ${link.alias}`,
    link.group === undefined ? '' : `group ${link.group}`,
    link.up ? 'up' : '',
  );
  const port = bridgePort(link.name, link);
  switch (kind.type) {
    case 'tun':
    case 'tap':
      return [
        `ip tuntap add dev ${link.name} mode ${kind.type}`,
        ...(attributes === '' ? [] : [`ip link set ${link.name} ${attributes}`]),
        ...port,
      ];
    case 'macvlan':
      return [words('ip link add', link.name, `link ${kind.parent}`, attributes, `type macvlan mode ${kind.mode}`), ...port];
    case 'veth': {
      const peer = words(
        `peer name ${kind.peer.name}`,
        kind.peer.mtu === undefined ? '' : `mtu ${kind.peer.mtu}`,
        kind.peer.mac === undefined ? '' : `address ${kind.peer.mac}`,
        kind.peer.netns === netns ? '' : `netns ${kind.peer.netns}`,
      );
      return [words('ip link add', link.name, attributes, 'type veth', peer), ...port];
    }
    case 'bridge':
      return [
        words(
          'ip link add',
          link.name,
          attributes,
          'type bridge',
          kind.multicastSnooping === undefined ? '' : `mcast_snooping ${Number(kind.multicastSnooping)}`,
          kind.forwardDelay === undefined ? '' : `forward_delay ${kind.forwardDelay}`,
        ),
        ...port,
      ];
    case 'vxlan':
      return [
        words(
          'ip link add',
          link.name,
          attributes,
          `type vxlan id ${kind.vni} dstport ${kind.port}`,
          kind.local === undefined ? '' : `local ${kind.local}`,
          kind.device === undefined ? '' : `dev ${kind.device}`,
          kind.learning ? 'learning' : 'nolearning',
          kind.proxy ? 'proxy' : '',
          // Born where its socket is to stay; it keeps that when it moves.
          kind.socket === undefined || netns === HOST ? '' : `# with its socket in the namespace of the host`,
        ),
        ...port,
      ];
    case 'dummy':
      return [words('ip link add', link.name, attributes, 'type dummy'), ...port];
  }
}

function removeLink(link: Link): string[] {
  const tun = link.kind.type === 'tun' || link.kind.type === 'tap';
  return [tun ? `ip tuntap del dev ${link.name} mode ${link.kind.type}` : `ip link del ${link.name}`];
}

function setLink(name: string, value: LinkAttributes): string[] {
  const attributes = words(
    value.mtu === undefined ? '' : `mtu ${value.mtu}`,
    value.mac === undefined ? '' : `address ${value.mac}`,
    value.master === undefined ? '' : value.master === '' ? 'nomaster' : `master ${value.master}`,
    value.group === undefined ? '' : `group ${value.group}`,
    value.up === undefined ? '' : value.up ? 'up' : 'down',
  );
  return [...(attributes === '' ? [] : [`ip link set ${name} ${attributes}`]), ...bridgePort(name, value)];
}

function bridgePort(name: string, port: Pick<LinkAttributes, 'isolated' | 'hairpin' | 'static'>): string[] {
  const flags = words(
    port.isolated === undefined ? '' : `isolated ${onOff(port.isolated)}`,
    port.hairpin === undefined ? '' : `hairpin ${onOff(port.hairpin)}`,
    port.static === undefined ? '' : `learning ${onOff(!port.static)} flood ${onOff(!port.static)}`,
  );
  return flags === '' ? [] : [`bridge link set dev ${name} ${flags}`];
}

function route(value: Route): string {
  return words(
    value.type === undefined || value.type === 'unicast' ? '' : value.type,
    value.destination.endsWith('/0') ? 'default' : value.destination,
    value.via === undefined ? '' : `via ${value.via}`,
    value.device === undefined ? '' : `dev ${value.device}`,
    value.source === undefined ? '' : `src ${value.source}`,
    value.metric === undefined ? '' : `metric ${value.metric}`,
    value.scope === undefined ? '' : `scope ${value.scope}`,
    // ip(8) puts a local route into the table `local` when none is named.
    value.table !== undefined ? `table ${value.table}` : value.type === 'local' ? 'table main' : '',
    value.mtu === undefined ? '' : `mtu ${value.mtu}`,
    value.onlink ? 'onlink' : '',
  );
}

function rule(value: RoutingRule): string {
  return words(
    `priority ${value.priority}`,
    value.from === undefined ? '' : `from ${value.from}`,
    value.to === undefined ? '' : `to ${value.to}`,
    value.iif === undefined ? '' : `iif ${value.iif}`,
    value.fwmark === undefined ? '' : `fwmark ${value.fwmark}`,
    `lookup ${value.table}`,
    value.suppressPrefixLength === undefined ? '' : `suppress_prefixlength ${value.suppressPrefixLength}`,
  );
}

function fdb(op: Op, entry: FdbEntry): string {
  // A VXLAN device keeps its own table (self); any other device is a port, whose entries are its bridge's (master).
  const where = entry.destination === undefined ? 'master static' : `dst ${entry.destination} self permanent`;
  if (op === 'add') return `bridge fdb append ${entry.mac} dev ${entry.device} ${where}`;
  return `bridge fdb del ${entry.mac} dev ${entry.device} ${entry.destination === undefined ? 'master' : `dst ${entry.destination} self`}`;
}

function sysctl(key: string, value: string): string {
  // sysctl(8) takes dots or slashes; a device name with a dot in the key (eth0.100) needs the slashes.
  const text = `${key.includes('.') ? key : key.replaceAll('/', '.')}=${value}`;
  return /^[\w./=:-]+$/.test(text) ? text : `'${text}'`;
}

function file(path: string, value: string | null, mode: number | undefined): string {
  if (value === null) return `rm ${path}`;
  const chmod = mode === undefined ? '' : ` && chmod ${mode.toString(8).padStart(4, '0')} ${path}`;
  const lines = value.split('\n');
  // Short text is shown whole: it is what the reader of a dry run wants to know.
  const source = value.length <= 120 && !/['\\%\p{Cc}]/u.test(lines.join('')) ? `printf '${lines.join('\\n')}'` : `cat`;
  return `${source} > ${path}${chmod}${source === 'cat' ? ` # ${count(Buffer.byteLength(value), 'byte')}` : ''}`;
}

function conntrack(tuple: ConntrackTuple): string {
  return words(
    `-f ipv${tuple.family}`,
    tuple.protocol === undefined ? '' : `-p ${tuple.protocol}`,
    tuple.source === undefined ? '' : `-s ${tuple.source}`,
    tuple.destination === undefined ? '' : `-d ${tuple.destination}`,
    tuple.sourcePort === undefined ? '' : `--sport ${tuple.sourcePort}`,
    tuple.destinationPort === undefined ? '' : `--dport ${tuple.destinationPort}`,
    tuple.destinations === undefined ? '' : `-d ${tuple.destinations.join(',')}`,
    tuple.destinationPorts === undefined ? '' : `--dport ${span(tuple.destinationPorts)}`,
    tuple.replySource === undefined ? '' : `-r ${tuple.replySource}`,
    tuple.translated === true ? '--dst-nat' : '',
  );
}

const span = ({ from, to }: { readonly from: number; readonly to: number }): string =>
  from === to ? `${from}` : `${from}-${to}`;
const unpin = (path: string): string => `umount ${path} && rm ${path}`;
const verb = (op: Op): string => (op === 'add' ? 'add' : 'del');
const v6 = (destination: Route['destination']): string => (familyOf(destination) === 6 ? '-6' : '');
const onOff = (value: boolean): string => (value ? 'on' : 'off');
const count = (n: number, noun: string): string => `${n} ${noun}${n === 1 ? '' : 's'}`;
const words = (...parts: readonly string[]): string => parts.filter((part) => part !== '').join(' ');
