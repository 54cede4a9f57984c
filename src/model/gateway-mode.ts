/** How a bridge network meets the world, for each family: Docker's `gateway_mode_ipv4` and `gateway_mode_ipv6`. */
import type { Family } from '../base/ip.ts';
import type { Network } from './network.ts';

/**
 * - `nat`: published ports are ports of the host, and what leaves carries its address.
 * - `nat-unprotected`: and whoever has a route to a container reaches all of its ports.
 * - `routed`: no translation. A published port is open at the container's own address; no port of the host is used.
 * - `isolated`: the host has no address there either. For internal networks.
 */
export type GatewayMode = 'nat' | 'nat-unprotected' | 'routed' | 'isolated';

export const GATEWAY_MODES: readonly GatewayMode[] = ['nat', 'nat-unprotected', 'routed', 'isolated'];

export const GATEWAY_MODE_OPTION: Readonly<Record<Family, string>> = {
  4: 'com.docker.network.bridge.gateway_mode_ipv4',
  6: 'com.docker.network.bridge.gateway_mode_ipv6',
};

/** Of a network whose driver has checked its options. */
export function gatewayMode(network: Pick<Network, 'options'>, family: Family): GatewayMode {
  const value = network.options[GATEWAY_MODE_OPTION[family]];
  return GATEWAY_MODES.find((mode) => mode === value) ?? 'nat';
}
