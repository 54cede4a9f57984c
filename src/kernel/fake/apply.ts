/** One change on the memory of the fake kernel. */
import type { Change } from '../../contracts/change.ts';
import type { Applied } from '../../contracts/kernel.ts';
import { attributesDifference, linkDifference, routeDifference, sameRouteKey } from '../compare.ts';
import { ALREADY, CHANGED, conflicting, isRemoval } from '../failure.ts';
import { FakeNetns, type FakeSpaces, kernelFailure } from './state.ts';
import type { NftMember } from './tables.ts';

interface Memory {
  readonly spaces: FakeSpaces;
  readonly files: Map<string, string>;
  readonly keepGoing: boolean;
}

/** @throws what the kernel would answer */
export function applyOne(memory: Memory, change: Exclude<Change, NftMember | { kind: 'conntrack' }>): Applied {
  const { spaces } = memory;
  switch (change.kind) {
    case 'netns':
      if (change.op === 'remove') return spaces.unpin(change.path) ? CHANGED : ALREADY;
      if (spaces.byPath.has(change.path)) return ALREADY;
      spaces.byPath.set(change.path, new FakeNetns());
      return CHANGED;
    case 'netns-pin': {
      if (change.op === 'remove') return spaces.unpin(change.path) ? CHANGED : ALREADY;
      const old = spaces.byPath.get(change.path);
      const source = spaces.get(change.source);
      if (old !== undefined && old !== source) return conflicting(change, 'it is another namespace');
      if (old === source) return ALREADY;
      spaces.byPath.set(change.path, source);
      return CHANGED;
    }
    case 'file': {
      const old = memory.files.get(change.path) ?? null;
      if (old === change.value || (change.unlessEdited === true && old !== change.old)) return ALREADY;
      if (change.value === null) memory.files.delete(change.path);
      else memory.files.set(change.path, change.value);
      return CHANGED;
    }
    default: {
      const space = spaces.byPath.get(change.netns);
      // A namespace that is gone has nothing left to remove, nor, in a teardown, to set back.
      if (space === undefined && (isRemoval(change) || (memory.keepGoing && !('op' in change)))) return ALREADY;
      return inNetns(space ?? spaces.get(change.netns), change, spaces);
    }
  }
}

type InNetns = Extract<
  Change,
  { kind: 'link' | 'link-set' | 'address' | 'route' | 'rule' | 'neighbour' | 'fdb' | 'sysctl' | 'offload' | 'announce' }
>;

function inNetns(space: FakeNetns, change: InNetns, spaces: FakeSpaces): Applied {
  switch (change.kind) {
    case 'link': {
      const old = space.links.get(change.link.name);
      if (change.op === 'remove') {
        if (old === undefined) return ALREADY;
        space.removeLink(change.link.name);
        return CHANGED;
      }
      if (old !== undefined) {
        const difference = linkDifference(change.link, old.state, old.peer?.name ?? null);
        return difference === null ? ALREADY : conflicting(change, difference);
      }
      space.addLink(change.link, (netns) => spaces.get(netns));
      return CHANGED;
    }
    case 'link-set': {
      if (attributesDifference(change.value, space.link(change.name).state) === null) return ALREADY;
      space.setLink(change.name, change.value);
      return CHANGED;
    }
    case 'address': {
      const has = space.addresses.some((entry) => entry.device === change.device && entry.address === change.address);
      if (change.op === 'remove') {
        if (has) space.removeAddress(change.device, change.address);
        return has ? CHANGED : ALREADY;
      }
      if (has) return ALREADY;
      space.addAddress(change.device, change.address);
      return CHANGED;
    }
    case 'route': {
      const old = space.routes.find((route) => sameRouteKey(route, change.route));
      const difference = old === undefined ? null : routeDifference(change.route, old);
      if (change.op === 'remove') {
        if (old === undefined || difference !== null) return ALREADY;
        space.routes.splice(space.routes.indexOf(old), 1);
        return CHANGED;
      }
      if (old !== undefined) return difference === null ? ALREADY : conflicting(change, difference);
      space.checkRoute(change.route);
      space.routes.push(change.route);
      return CHANGED;
    }
    case 'rule':
      return listed(space.rules, change.op, change.rule);
    case 'neighbour': {
      const { device, address, mac, state } = change.neighbour;
      if (change.op === 'add') space.link(device);
      const at = space.neighbours.findIndex((entry) => entry.device === device && entry.address === address);
      const old = space.neighbours[at];
      if (change.op === 'remove') return old && space.neighbours.splice(at, 1) ? CHANGED : ALREADY;
      if (old?.mac === mac && old.state === state) return ALREADY;
      if (old?.state === 'permanent') return conflicting(change, `lladdr is ${old.mac} ${old.state}, not ${mac} ${state}`);
      if (old) space.neighbours.splice(at, 1);
      space.neighbours.push(change.neighbour);
      return CHANGED;
    }
    case 'fdb':
      if (change.op === 'add') space.link(change.entry.device);
      return listed(space.fdb, change.op, change.entry);
    case 'announce':
      space.link(change.device);
      return CHANGED;
    case 'offload': {
      const { state } = space.link(change.device);
      if (!space.unsummed.has(state.name) === change.checksums) return ALREADY;
      if (change.checksums) space.unsummed.delete(state.name);
      else space.unsummed.add(state.name);
      return CHANGED;
    }
    case 'sysctl': {
      const device = /^net\/ipv[46]\/(?:conf|neigh)\/([^/]+)\//.exec(change.key)?.[1];
      const known = device === undefined || device === 'all' || device === 'default' || space.links.has(device);
      if (!change.key.startsWith('net/') || !known) throw kernelFailure(2, 'ENOENT', `no such key: ${change.key}`);
      if (space.sysctls.get(change.key) === change.value) return ALREADY;
      space.sysctls.set(change.key, change.value);
      return CHANGED;
    }
  }
}

/** Entries that are there or not, with nothing that could differ. */
function listed<T extends object>(list: T[], op: 'add' | 'remove', entry: T): Applied {
  const text = JSON.stringify(entry);
  const at = list.findIndex((other) => JSON.stringify(other) === text);
  if (op === 'add') return at < 0 && list.push(entry) ? CHANGED : ALREADY;
  return at >= 0 && list.splice(at, 1) ? CHANGED : ALREADY;
}
