/** The uplink got another MTU: networks and sandboxes take it over. Nothing was broken, and one line tells of all of them. */
import type { Logger } from '../base/clock.ts';
import type { Id } from '../base/ids.ts';
import type { HostFacts } from '../contracts/kernel.ts';
import type { Registry } from './registry.ts';
import type { Repaired } from './repair.ts';

const isMtuAlone = ({ what, why }: Repaired): boolean => what.startsWith('link ') && /^its mtu was \d+$/.test(why);

/**
 * Tells how many follow.
 * @param before the uplink's MTU that they had, in bytes
 * @returns what was repaired besides
 */
export function tellFollowers(
  repaired: readonly Repaired[],
  before: number,
  { facts, registry, logger }: { readonly facts: HostFacts; readonly registry: Registry; readonly logger: Logger },
): readonly Repaired[] {
  const owners = new Set(repaired.filter(isMtuAlone).map(({ owner }) => owner));
  if (owners.size === 0) return repaired;
  const networks = [...owners].filter((owner) => registry.networks.has(owner as Id)).length;
  const what = [count(networks, 'network'), count(owners.size - networks, 'sandbox')].filter(Boolean).join(' and ');
  const { uplink, uplinkMtu } = facts;
  logger.info(
    { uplink, mtu: uplinkMtu, before },
    `${what} ${owners.size === 1 ? 'follows' : 'follow'} the uplink ${uplink}: its MTU is ${uplinkMtu}, no longer ${before}`,
  );
  return repaired.filter((line) => !isMtuAlone(line));
}

function count(n: number, noun: 'network' | 'sandbox'): string {
  if (n === 0) return '';
  return n === 1 ? `1 ${noun}` : `${n} ${noun === 'network' ? 'networks' : 'sandboxes'}`;
}
