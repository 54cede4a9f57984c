/** From what a user asked of a network to a checked request. Nothing is reserved or touched here. */
import { conflict, forbidden, invalid } from '../base/errors.ts';
import type { NetworkDriver } from '../contracts/driver.ts';
import { checkNetworkName } from '../model/names.ts';
import type { NetworkSpec } from '../model/network.ts';
import { type CheckedPool, checkPoolRequests } from '../model/pools.ts';
import { type Context, driverOf, ipamOf } from './context.ts';

/** Networks that the daemon makes itself; nobody else may use the names (`default` is Docker's word for the default network). */
export const PREDEFINED: readonly string[] = ['bridge', 'host', 'none', 'default'];

const ENABLE_IPV4 = 'com.docker.network.enable_ipv4';
const ENABLE_IPV6 = 'com.docker.network.enable_ipv6';

export interface CheckedNetwork {
  readonly driver: NetworkDriver;
  readonly ipamDriver: string;
  readonly ipv4: boolean;
  readonly ipv6: boolean;
  readonly options: Readonly<Record<string, string>>;
  readonly pools: readonly CheckedPool[];
}

/** @throws forbidden, not-found, conflict, invalid with Docker's texts. */
export function checkNetworkSpec(ctx: Context, spec: NetworkSpec): CheckedNetwork {
  if (PREDEFINED.includes(spec.name)) throw forbidden(`operation is not permitted on predefined ${spec.name} network`);
  checkNetworkName(spec.name);
  const driver = driverOf(ctx, spec.driver ?? 'bridge');
  if (!driver.capabilities.creatable) throw forbidden(`only one instance of "${driver.type}" network is allowed`);
  if (ctx.registry.networkNamed(spec.name) !== undefined) throw conflict(`network with name ${spec.name} already exists`);
  return resolveNetworkSpec(ctx, spec, driver);
}

/** The part of the checks that predefined networks go through as well. */
export function resolveNetworkSpec(ctx: Context, spec: NetworkSpec, driver: NetworkDriver): CheckedNetwork {
  const { scope } = driver.capabilities;
  if (spec.scope !== undefined && spec.scope !== '' && spec.scope !== scope) {
    throw invalid(`network scope ${spec.scope} is not available: driver ${driver.type} makes ${scope} networks`);
  }
  const merged = { ...ctx.config.defaultNetworkOptions[driver.type], ...spec.options };
  const { [ENABLE_IPV4]: four, [ENABLE_IPV6]: six, ...options } = merged;
  const ipv4 = spec.ipv4 ?? flag(ENABLE_IPV4, four) ?? true;
  const ipv6 = spec.ipv6 ?? flag(ENABLE_IPV6, six) ?? false;
  const ipamDriver = spec.ipamDriver === undefined || spec.ipamDriver === '' ? 'default' : spec.ipamDriver;
  if (!driver.capabilities.addressing) return { driver, ipamDriver, ipv4, ipv6, options, pools: [] };
  ipamOf(ctx, ipamDriver);
  return { driver, ipamDriver, ipv4, ipv6, options, pools: checkPoolRequests(spec.pools ?? [], { ipv4, ipv6 }) };
}

/** The spellings that Go's strconv.ParseBool takes. */
function flag(option: string, text: string | undefined): boolean | undefined {
  if (text === undefined) return undefined;
  if (['1', 't', 'T', 'TRUE', 'true', 'True'].includes(text)) return true;
  if (['0', 'f', 'F', 'FALSE', 'false', 'False'].includes(text)) return false;
  throw invalid(`driver-opt "${option}" is not a valid bool`);
}
