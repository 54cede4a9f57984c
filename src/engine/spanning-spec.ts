/** Networks that span hosts, from what a user asked for to what the cluster is told. */
import { invalid } from '../base/errors.ts';
import { newId } from '../base/ids.ts';
import type { Network, NetworkSpec } from '../model/network.ts';
import type { Context } from './context.ts';
import type { CheckedNetwork } from './network-spec.ts';

/** The address management of networks that are one segment on all hosts (src/ipam/cluster). */
const CLUSTER_IPAM = 'cluster';

/** What a dry run cannot tell. */
const UNDECIDED = {
  subnet: "which subnet this host gets, and with it the bridge's address, is decided when the network is made",
  segment: 'which subnets and VXLAN network identifiers it gets is decided when the network is made, for all hosts at once',
} as const;

export const undecided = ({ ranges: given }: Network): string => (given === undefined ? UNDECIDED.segment : UNDECIDED.subnet);

/** As the cluster is told of it. @throws invalid for what each host decides for itself */
export function networkOf(ctx: Context, spec: NetworkSpec, checked: CheckedNetwork): Network {
  const { driver, ipv4, ipv6, options } = checked;
  return {
    id: newId(),
    name: spec.name,
    created: new Date(ctx.clock.now()).toISOString(),
    driver: driver.type,
    scope: driver.capabilities.scope,
    ipv4,
    ipv6,
    internal: spec.internal ?? false,
    attachable: spec.attachable ?? false,
    options,
    labels: spec.labels ?? {},
    ipamOptions: spec.ipamOptions ?? {},
    predefined: false,
    ...(driver.planPeer === undefined ? segmentPools(spec, checked) : ranges(spec, checked)),
  };
}

/** One segment on all hosts: the cluster decides what was left open. */
function segmentPools(
  { name }: NetworkSpec,
  { driver, ipamDriver, pools }: CheckedNetwork,
): Pick<Network, 'pools' | 'ipamDriver'> {
  if (ipamDriver !== 'default' && ipamDriver !== CLUSTER_IPAM)
    throw invalid(
      `Cannot create network ${name}: addresses of driver ${driver.type} come from the cluster, not from --ipam-driver ${ipamDriver}`,
    );
  return {
    ipamDriver: CLUSTER_IPAM,
    pools: pools.flatMap(({ family, subnet, length, range, gateway, auxiliary }) => {
      if (length !== undefined)
        throw invalid(`Cannot create network ${name}: driver ${driver.type} needs a subnet in full, or none, not any /${length}`);
      return subnet === undefined
        ? []
        : { family, subnet, range: range ?? null, gateway: gateway ?? null, auxiliary, configured: true };
    }),
  };
}

/** Each host gets a subnet of its own out of these. */
function ranges(
  { name }: NetworkSpec,
  { driver, ipamDriver, pools }: CheckedNetwork,
): Pick<Network, 'pools' | 'ranges' | 'ipamDriver'> {
  const given = pools.flatMap(({ subnet }) => subnet ?? []);
  if (given.length < pools.length) {
    const family = pools.find(({ subnet }) => subnet === undefined)?.family ?? 4;
    throw invalid(
      `Cannot create network ${name}: driver ${driver.type} needs an IPv${family} --subnet, of which each host gets a part`,
    );
  }
  if (pools.some(({ gateway, range, auxiliary }) => gateway ?? range ?? Object.keys(auxiliary)[0]))
    throw invalid(
      `Cannot create network ${name}: each host gets a subnet of its own, so there is no --gateway, --ip-range or --aux-address for all`,
    );
  return { ipamDriver, pools: [], ranges: given };
}
