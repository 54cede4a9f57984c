/** The host has another uplink, or other firewalls: its rules are to be others. Nothing was broken, and one line tells what follows. */
import type { Logger } from '../base/clock.ts';
import type { HostFacts } from '../contracts/kernel.ts';
import type { Repaired } from './repair.ts';

type Seen = Pick<HostFacts, 'uplink' | 'bridgeNf' | 'foreignForward' | 'unseenForward'>;

/** A table that is gone was deleted, whatever else changed. Networks want of another uplink that it takes router advertisements while it forwards. */
const isFollowing = ({ owner, what, why }: Repaired): boolean =>
  owner === 'host'
    ? /^(rule in chain|element) /.test(what) ||
      (what.startsWith('table ') && /^(the rules of its chain|its chain|chain) /.test(why))
    : /^sysctl net\/ipv6\/conf\/[^/]+\/accept_ra$/.test(what) && why === 'it was 1';

/** @returns in words what rules depend on and is not as it was; '' when all of it is */
export function hostChange(before: Seen, now: Seen): string {
  const parts: string[] = [];
  if (before.uplink !== now.uplink) parts.push(now.uplink === '' ? 'it has no uplink' : `its uplink is ${now.uplink}`);
  if (firewalls(before) !== firewalls(now)) {
    const others = firewalls(now);
    parts.push(others === '' ? 'nobody else looks at forwarded packets' : `forwarded packets pass ${others}`);
  }
  if (before.bridgeNf !== now.bridgeNf) parts.push(`bridge-nf-call-iptables is ${now.bridgeNf === true ? 'on' : 'off'}`);
  return parts.join(', ');
}

/**
 * Tells which rules follow.
 * @param change of `hostChange`
 * @returns what was repaired besides
 */
export function tellRulesFollow(repaired: readonly Repaired[], change: string, logger: Logger): readonly Repaired[] {
  const following = repaired.filter(isFollowing);
  if (following.length === 0 || change === '') return repaired;
  const what = following.map((one) => one.what).join(', ');
  logger.info({ what, change }, `${what} in the host ${following.length === 1 ? 'follows' : 'follow'} the host: ${change}`);
  return repaired.filter((one) => !isFollowing(one));
}

function firewalls({ foreignForward, unseenForward }: Seen): string {
  const chains = foreignForward.map(
    ({ family, table, chain, policy }) => `chain ${chain} of table ${family} ${table} (policy ${policy})`,
  );
  return [...chains, ...(unseenForward === true ? ['rules of iptables-legacy'] : [])].join(', ');
}
