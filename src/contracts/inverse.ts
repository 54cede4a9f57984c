/** Undoing changes, and removing with few messages. Pure: nothing here asks the kernel. */
import type { Change, Netns } from './change.ts';
import type { Applied } from './kernel.ts';

/** The change that undoes this one; null when there is nothing to undo (conntrack) or nothing known to go back to. */
export function inverse(change: Change): Change | null {
  switch (change.kind) {
    case 'netns':
    case 'netns-pin':
    case 'link':
    case 'address':
    case 'route':
    case 'rule':
    case 'neighbour':
    case 'fdb':
    case 'nft-table':
    case 'nft-element':
    case 'nft-rule':
      return { ...change, op: change.op === 'add' ? 'remove' : 'add' };
    case 'link-set':
      return Object.keys(change.old).length === 0 ? null : { ...change, value: change.old, old: change.value };
    case 'sysctl':
      return change.old === null ? null : { ...change, value: change.old, old: change.value };
    case 'offload':
      return change.old === null ? null : { ...change, checksums: change.old, old: change.checksums };
    case 'file':
      return { ...change, value: change.old, old: change.value };
    case 'announce':
    case 'conntrack':
      return null;
  }
}

/**
 * What undoes a list of changes, newest first.
 * @param applied results of the list; only what `changed` is undone. Without it, everything is.
 */
export function inversePlan(changes: readonly Change[], applied?: readonly Applied[]): Change[] {
  const out: Change[] = [];
  for (let i = changes.length - 1; i >= 0; i--) {
    const change = changes[i];
    if (change === undefined || (applied !== undefined && applied[i]?.state !== 'changed')) continue;
    const undo = inverse(change);
    if (undo !== null) out.push(undo);
  }
  return out;
}

/**
 * Drops from a list of removals what others of the list imply: all inside a namespace of ours that goes, all on a device that
 * goes, the other end of a veth pair, elements of a table that goes. A namespace that was only pinned (`netns-pin`) lives on
 * without us, so what we put into it is still removed. The host's end of a pair into a namespace that goes stays in the list
 * as well: the kernel takes a dead namespace apart some time later, and until then the name would be taken. So does a VXLAN device whose socket is
 * elsewhere: its VNI would be.
 */
export function subsume(changes: readonly Change[]): Change[] {
  const spaces = new Set<Netns>();
  const devices = new Set<string>();
  const peers = new Set<string>();
  const tables = new Set<string>();
  for (const change of changes) {
    if (change.kind === 'netns' && change.op === 'remove') spaces.add(change.path);
    else if (change.kind === 'nft-table' && change.op === 'remove' && change.netns === undefined)
      tables.add(`${change.table.family} ${change.table.name}`);
    else if (change.kind === 'link' && change.op === 'remove') {
      const { kind } = change.link;
      const own = deviceKey(change.netns, change.link.name);
      if (kind.type === 'veth' && !peers.has(own)) peers.add(deviceKey(kind.peer.netns, kind.peer.name));
      devices.add(own);
    }
  }
  const gone = (netns: Netns, device: string | undefined): boolean => {
    if (spaces.has(netns)) return true;
    if (device === undefined) return false;
    const key = deviceKey(netns, device);
    return devices.has(key) || peers.has(key);
  };
  return changes.filter((change) => {
    switch (change.kind) {
      case 'link': {
        if (change.op === 'add') return true;
        if (peers.has(deviceKey(change.netns, change.link.name))) return false;
        const { kind } = change.link;
        if (!spaces.has(change.netns)) return true;
        return (kind.type === 'veth' && !spaces.has(kind.peer.netns)) || (kind.type === 'vxlan' && kind.socket !== undefined);
      }
      case 'link-set':
        return !gone(change.netns, change.name);
      case 'address':
        return change.op === 'add' || !gone(change.netns, change.device);
      case 'route':
        return change.op === 'add' || !gone(change.netns, change.route.device);
      case 'rule':
        return change.op === 'add' || !gone(change.netns, undefined);
      case 'neighbour':
        return change.op === 'add' || !gone(change.netns, change.neighbour.device);
      case 'fdb':
        return change.op === 'add' || !gone(change.netns, change.entry.device);
      case 'sysctl':
        return !gone(change.netns, sysctlDevice(change.key));
      case 'offload':
        return !gone(change.netns, change.device);
      case 'nft-element':
        return change.op === 'add' || !tables.has(`${change.table.family} ${change.table.name}`);
      case 'nft-table':
        return change.op === 'add' || change.netns === undefined || !spaces.has(change.netns);
      case 'netns':
      case 'netns-pin':
      case 'nft-rule':
      case 'file':
      case 'announce':
      case 'conntrack':
        return true;
    }
  });
}

/** The device that a key is about: `net/ipv4/conf/eth0/forwarding`, `net/ipv6/neigh/eth0/...`. */
const sysctlDevice = (key: string): string | undefined => /^net\/ipv[46]\/(?:conf|neigh)\/([^/]+)\//.exec(key)?.[1];

/** A slash cannot be in a device name, a NUL not in a path. */
const deviceKey = (netns: Netns, device: string): string => `${netns}\0${device}`;
