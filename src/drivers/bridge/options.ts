/** Driver options (`docker network create -o KEY=VALUE`) -> typed options. Docker's names and meanings. */
import { invalid } from '../../base/errors.ts';
import { type Family, type IpAddress, isIp, parseIp } from '../../base/ip.ts';
import { shown } from '../../base/shown.ts';
import { GATEWAY_MODE_OPTION, GATEWAY_MODES, type GatewayMode, gatewayMode } from '../../model/gateway-mode.ts';
import { bridgeName } from '../../model/names.ts';
import type { Network } from '../../model/network.ts';

export const OPTION = {
  name: 'com.docker.network.bridge.name',
  icc: 'com.docker.network.bridge.enable_icc',
  masquerade: 'com.docker.network.bridge.enable_ip_masquerade',
  hostBinding: 'com.docker.network.bridge.host_binding_ipv4',
  gatewayMode4: GATEWAY_MODE_OPTION[4],
  gatewayMode6: GATEWAY_MODE_OPTION[6],
  trusted: 'com.docker.network.bridge.trusted_host_interfaces',
  mtu: 'com.docker.network.driver.mtu',
  prefix: 'com.docker.network.container_iface_prefix',
  defaultBridge: 'com.docker.network.bridge.default_bridge',
} as const;

export interface BridgeOptions {
  /** Name of the bridge device. */
  readonly bridge: string;
  /** Endpoints of the network may talk to each other. */
  readonly icc: boolean;
  /** What leaves the host carries the host's address (NAT44 and NAT66). */
  readonly masquerade: boolean;
  /** Host address that published ports bind to when a port names none; null = every address. */
  readonly hostBinding: IpAddress | null;
  readonly gatewayMode: Readonly<Record<Family, GatewayMode>>;
  /** Devices of the host behind which whoever has a route reaches published ports by the sandbox's own address. */
  readonly trusted: readonly string[];
  /** bytes; null = that of the host's uplink. */
  readonly mtu: number | null;
  /** First part of interface names inside a sandbox; a number follows. */
  readonly prefix: string;
}

/** RFC 791: every IPv4 link must carry 68 bytes. ETH_MIN_MTU, <linux/if_ether.h>. */
const MTU_MIN = 68;
/** RFC 8200 section 5; below it Linux switches IPv6 off on the device (IPV6_MIN_MTU, <linux/ipv6.h>). */
export const MTU_MIN_IPV6 = 1280;
/** ETH_MAX_MTU, <linux/if_ether.h>: the limit of a bridge and of a veth device. */
export const MTU_MAX = 65535;
/** IFNAMSIZ - 1, <linux/if.h>: bytes in an interface name. */
const NAME_MAX = 15;
/** Leaves three digits for the interface's number. */
const PREFIX_MAX = NAME_MAX - 3;

/**
 * @throws invalid for an option that is not known (naming it and the known ones) and for a bad value (naming option, value and
 * rule).
 */
export function parseOptions(network: Network): BridgeOptions {
  const known: readonly string[] = Object.values(OPTION);
  for (const key of Object.keys(network.options)) {
    if (!known.includes(key)) throw invalid(`unknown option ${key} for driver bridge: the known ones are ${known.join(', ')}`);
  }
  const { options } = network;
  if (optional(options, OPTION.defaultBridge, bool) !== null && !network.predefined) {
    throw invalid(`option ${OPTION.defaultBridge} is only for the predefined network`);
  }
  return {
    bridge: optional(options, OPTION.name, unlessEmpty(deviceName)) ?? bridgeName(network.id),
    icc: optional(options, OPTION.icc, bool) ?? true,
    masquerade: optional(options, OPTION.masquerade, bool) ?? true,
    hostBinding: optional(options, OPTION.hostBinding, hostAddress),
    gatewayMode: { 4: modeOf(network, 4), 6: modeOf(network, 6) },
    trusted: optional(options, OPTION.trusted, deviceNames) ?? [],
    mtu: optional(options, OPTION.mtu, (key, value) => mtuValue(key, value, network.ipv6)),
    prefix: optional(options, OPTION.prefix, unlessEmpty(interfacePrefix)) ?? 'eth',
  };
}

/** The device a network uses, without checking its other options. */
export const bridgeOf = (network: Network): string => network.options[OPTION.name] || bridgeName(network.id);

function optional<T>(options: Network['options'], key: string, parse: (key: string, value: string) => T | null): T | null {
  const value = options[key];
  return value === undefined ? null : parse(key, value);
}

/** For Docker a name of no characters is none, and the default holds. */
const unlessEmpty =
  <T>(parse: (key: string, value: string) => T) =>
  (key: string, value: string): T | null =>
    value === '' ? null : parse(key, value);

const TRUE = ['1', 't', 'T', 'TRUE', 'true', 'True'];
const FALSE = ['0', 'f', 'F', 'FALSE', 'false', 'False'];

/** What Go's strconv.ParseBool takes, as Docker's options do. */
function bool(key: string, value: string): boolean {
  if (TRUE.includes(value)) return true;
  if (FALSE.includes(value)) return false;
  throw bad(key, value, `must be a boolean: ${[...TRUE, ...FALSE].join(', ')}`);
}

/**
 * Narrower than the kernel, which takes nearly every byte: the name is also a key in nftables (where `*` at the end is a
 * wildcard) and a folder under /proc/sys.
 */
function deviceName(key: string, value: string): string {
  if (!/^[A-Za-z0-9_][A-Za-z0-9_.-]*$/.test(value) || value.length > NAME_MAX) {
    throw bad(key, value, `must be 1 to ${NAME_MAX} of the characters [A-Za-z0-9_.-], the first one not '.' or '-'`);
  }
  // Folders of /proc/sys/net/ipv4/conf that are no device.
  if (value === 'all' || value === 'default') throw bad(key, value, 'must not be a name that the kernel reserves');
  return value;
}

function interfacePrefix(key: string, value: string): string {
  if (!/^[A-Za-z_][A-Za-z0-9_.-]*$/.test(value) || value.length > PREFIX_MAX) {
    throw bad(key, value, `must be 1 to ${PREFIX_MAX} of the characters [A-Za-z0-9_.-], the first one a letter or '_'`);
  }
  return value;
}

/** Of either family, whatever the option's name says; so it is in Docker. */
function hostAddress(key: string, value: string): IpAddress {
  if (!isIp(value)) throw bad(key, value, 'must be an IP address');
  return parseIp(value);
}

/** Docker's texts. */
function modeOf(network: Network, family: Family): GatewayMode {
  const key = GATEWAY_MODE_OPTION[family];
  const value = network.options[key];
  if (value === undefined) return 'nat';
  if (!GATEWAY_MODES.some((mode) => mode === value)) {
    throw invalid(`failed to parse ${key} value: ${shown(value)} (unknown gateway mode ${shown(value)})`);
  }
  const mode = gatewayMode(network, family);
  if (mode === 'isolated' && !network.internal) throw invalid("gateway mode 'isolated' can only be used for an internal network");
  return mode;
}

/** `vxlan.1:eth3` */
const deviceNames = (key: string, value: string): readonly string[] =>
  value
    .split(':')
    .filter((name) => name !== '')
    .map((name) => deviceName(key, name));

/** @returns null for 0, which is Docker's default: not set */
function mtuValue(key: string, value: string, ipv6: boolean): number | null {
  if (value === '0') return null;
  const min = ipv6 ? MTU_MIN_IPV6 : MTU_MIN;
  const mtu = /^\d{1,5}$/.test(value) ? Number(value) : -1;
  if (mtu < min || mtu > MTU_MAX) {
    throw bad(key, value, `must be a number of bytes from ${min}${ipv6 ? ' (with IPv6)' : ''} to ${MTU_MAX}`);
  }
  return mtu;
}

function bad(key: string, value: string, rule: string): Error {
  return invalid(`invalid value ${JSON.stringify(shown(value))} for option ${key}: it ${rule}`);
}
