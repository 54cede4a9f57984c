/** What this kernel can do, found out by doing it in a namespace that is thrown away. */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { errorData } from '../base/errors.ts';
import type { Feature } from '../contracts/kernel.ts';
import { dumpFlows } from '../netlink/conntrack.ts';
import { type Namespace, createNamespace } from '../netlink/namespace.ts';
import { change } from '../netlink/request.ts';
import { NetlinkSocket } from '../netlink/socket.ts';
import { hasCode } from '../sys/errors.ts';
import { unpinNetns, withNetns } from '../sys/netns.ts';
import { temporaryFolder } from '../sys/temporary.ts';
import { createTun } from '../sys/tun.ts';
import { netlinkH, rtnetlinkH } from '../wire/netlink/constants.ts';
import { link as linkMessage } from '../wire/netlink/link.ts';
import { openNftRunner } from './nft-run.ts';

/** Kinds of link: IFLA_INFO_KIND, and the module that knows it. */
const KINDS = [
  ['veth', 'veth', 'pairs that lead into sandboxes'],
  ['bridge', 'bridge', 'bridge networks'],
  ['vxlan', 'vxlan', 'overlay networks'],
  ['macvlan', 'macvlan', 'macvlan networks'],
  ['ipvlan', 'ipvlan', 'ipvlan networks'],
  ['wireguard', 'wireguard', 'encrypted tunnels in the kernel'],
  ['vlan', '8021q', '802.1q sub-interfaces as parents'],
] as const;

export function probeFeatures(): readonly Feature[] {
  try {
    using folder = temporaryFolder('moor-probe-');
    const path = join(folder.path, 'netns');
    using stack = new DisposableStack();
    stack.defer(() => unpinNetns(path));
    using space = createNamespace(path);
    return [
      { name: 'namespaces', state: 'yes', why: 'made one' },
      ...KINDS.map(([kind, module, use]) => linkKind(space, { kind, module, use })),
      probe('tun', 'user-space tunnels: module tun (CONFIG_TUN)', () => withNetns(space.netns, () => createTun('probe', 'tun'))),
      probe('nftables', 'filtering and NAT: module nf_tables (CONFIG_NF_TABLES)', () => withNetns(space.netns, tryTable)),
      nftLibrary(),
      probe('conntrack', 'forgetting connections: module nf_conntrack_netlink (CONFIG_NF_CT_NETLINK)', () => {
        using socket = NetlinkSocket.open('netfilter', space.netns);
        socket.collect(dumpFlows({ family: 4 }));
      }),
      present('br_netfilter', existsSync('/proc/sys/net/bridge/bridge-nf-call-iptables'), {
        yes: 'bridged packets can pass the IP rules',
        no: 'not loaded: bridged packets do not pass the IP rules, which is as well; module br_netfilter brings it',
      }),
      present('ipvs', existsSync('/proc/net/ip_vs'), {
        yes: 'load balancing in the kernel',
        no: 'not loaded: module ip_vs (CONFIG_IP_VS) brings load balancing in the kernel',
      }),
      present('overlayfs', /\boverlay$/m.test(readFileSync('/proc/filesystems', 'utf8')), {
        yes: 'layers of images can be mounted',
        no: 'not loaded: module overlay (CONFIG_OVERLAY_FS) brings layered file systems',
      }),
    ];
  } catch (error) {
    return [
      {
        name: 'namespaces',
        state: 'no',
        why: `${errorData(error).message}: sandboxes need root (CAP_SYS_ADMIN) and CONFIG_NET_NS`,
      },
    ];
  }
}

/** Without its data, so that any other answer than `unknown kind` means that the kernel knows it. */
function linkKind(space: Namespace, { kind, module, use }: { kind: string; module: string; use: string }): Feature {
  const [error] = space.route.execute([
    change(`ip link add probe type ${kind}`, rtnetlinkH.RTM_NEWLINK, {
      flags: netlinkH.NLM_F_CREATE | netlinkH.NLM_F_EXCL,
      codec: linkMessage,
      value: { header: {}, attributes: { name: `p${kind}`, info: { kind } } },
    }),
  ]);
  if (error && hasCode(error, 'EOPNOTSUPP'))
    return { name: kind, state: 'no', why: `this kernel has no link of type ${kind}; module ${module} brings ${use}` };
  if (error && hasCode(error, 'EPERM')) return { name: kind, state: 'unknown', why: `not allowed to try: ${error.message}` };
  return { name: kind, state: 'yes', why: use };
}

function nftLibrary(): Feature {
  using runner = openNftRunner();
  const { reason } = runner;
  return {
    name: 'libnftables',
    state: reason === '' ? 'yes' : 'no',
    why: reason === '' ? 'rules change without starting a program' : reason,
  };
}

function tryTable(): void {
  using nft = openNftRunner();
  const { rc, error } = nft.run('add table inet probe; delete table inet probe');
  if (rc !== 0) throw new Error(error.split('\n')[0] ?? error);
}

function probe(name: string, use: string, body: () => void): Feature {
  try {
    body();
    return { name, state: 'yes', why: use };
  } catch (error) {
    const unknown = hasCode(error, 'EPERM', 'EACCES');
    return { name, state: unknown ? 'unknown' : 'no', why: `${use}: ${errorData(error).message}` };
  }
}

const present = (name: string, there: boolean, why: { readonly yes: string; readonly no: string }): Feature => ({
  name,
  state: there ? 'yes' : 'no',
  why: there ? why.yes : why.no,
});
