/** Driver options (`docker network create -d routed -o KEY=VALUE`) -> typed options. flannel's names and meanings where it has one. */
import { invalid } from '../../base/errors.ts';
import { type Family, familyOf, isIp, parseIp } from '../../base/ip.ts';
import { shown } from '../../base/shown.ts';
import type { Network } from '../../model/network.ts';

export const OPTION = {
  backend: 'backend',
  subnetLength4: 'subnet-len',
  subnetLength6: 'subnet-len6',
  subnetMin4: 'subnet-min',
  subnetMin6: 'subnet-min6',
  subnetMax4: 'subnet-max',
  subnetMax6: 'subnet-max6',
  vni: 'vni',
  port: 'port',
  directRouting: 'direct-routing',
  checksums: 'checksum-offload',
  flannelPrefix: 'flannel-prefix',
} as const;

/** Of the bridge that a network has on each host, which checks their values. */
const BRIDGE_OPTIONS = [
  'com.docker.network.bridge.name',
  'com.docker.network.bridge.enable_icc',
  'com.docker.network.bridge.enable_ip_masquerade',
  'com.docker.network.bridge.host_binding_ipv4',
  'com.docker.network.driver.mtu',
  'com.docker.network.container_iface_prefix',
] as const;

const CHECKSUMS = ['auto', 'on', 'off'] as const;

const BACKENDS = ['vxlan', 'host-gw', 'udp', 'alloc'] as const;
export type BackendName = (typeof BACKENDS)[number];

export interface RoutedOptions {
  readonly backend: BackendName;
  /** VXLAN network identifier (RFC 7348 section 4): 24 bits. */
  readonly vni: number;
  /** UDP port at which hosts take each other's packets. */
  readonly port: number;
  /** Peers on the same segment are reached by a route, without encapsulation. */
  readonly directRouting: boolean;
  /** Whether checksums of packets inside of VXLAN are left to the network card; `auto`: unless they are found to arrive wrong. */
  readonly checksums: (typeof CHECKSUMS)[number];
  /** Where flannel's keys are; null: leases lie elsewhere. */
  readonly flannelPrefix: string | null;
}

/** flannel's: the port that Linux used for VXLAN before IANA gave 4789, and that of its `udp` backend. Unused by the other backends. */
const PORT = { vxlan: 8472, udp: 8285, 'host-gw': 0, alloc: 0 } as const satisfies Record<BackendName, number>;
const VNI_MAX = 2 ** 24 - 1;
const PORT_MAX = 65_535;

/** Which backends an option is for; those not named are for all. */
const ONLY_FOR: Readonly<Record<string, readonly BackendName[]>> = {
  [OPTION.vni]: ['vxlan'],
  [OPTION.port]: ['vxlan', 'udp'],
  [OPTION.directRouting]: ['vxlan'],
  [OPTION.checksums]: ['vxlan'],
};

type Options = Network['options'];

/**
 * Values of the bridge's options are not looked at: `check` of the local driver does that.
 * @throws invalid for an option that is not known (naming it and the known ones) or not the backend's, and for a bad value (naming option, value
 * and rule).
 */
export function parseOptions({ options }: Pick<Network, 'options'>): RoutedOptions {
  const known: readonly string[] = [...Object.values(OPTION), ...BRIDGE_OPTIONS];
  const backend = backendOf(options);
  for (const key of Object.keys(options)) {
    if (!known.includes(key)) throw invalid(`unknown option ${key} for driver routed: the known ones are ${known.join(', ')}`);
    const only = ONLY_FOR[key];
    if (only !== undefined && !only.includes(backend)) {
      throw invalid(`option ${key} is only for backend ${only.join(' and ')}, not for ${backend}`);
    }
  }
  checkSubnets(options);
  const prefix = options[OPTION.flannelPrefix];
  if (prefix !== undefined && !/^(\/[A-Za-z0-9._-]+)+$/.test(prefix)) {
    throw bad(
      OPTION.flannelPrefix,
      prefix,
      'must be a path of keys that starts with a slash and does not end in one: /coreos.com/network',
    );
  }
  return {
    backend,
    vni: numberOf(options, OPTION.vni, { least: 1, most: VNI_MAX, otherwise: 1 }),
    port: numberOf(options, OPTION.port, { least: 1, most: PORT_MAX, otherwise: PORT[backend] }),
    directRouting: boolOf(options, OPTION.directRouting),
    checksums: checksumsOf(options),
    flannelPrefix: prefix ?? null,
  };
}

/** What of the options is the bridge's. */
export const bridgeOptions = (options: Options): Record<string, string> =>
  Object.fromEntries(
    BRIDGE_OPTIONS.flatMap((key) => {
      const value = options[key];
      return value === undefined ? [] : [[key, value]];
    }),
  );

export const MASQUERADE_OPTION = 'com.docker.network.bridge.enable_ip_masquerade' satisfies (typeof BRIDGE_OPTIONS)[number];
export const MTU_OPTION = 'com.docker.network.driver.mtu' satisfies (typeof BRIDGE_OPTIONS)[number];

function backendOf(options: Options): BackendName {
  const value = options[OPTION.backend];
  if (value === undefined) return 'vxlan';
  const backend = BACKENDS.find((name) => name === value);
  if (backend === undefined) throw bad(OPTION.backend, value, `must be one of ${BACKENDS.join(', ')}`);
  return backend;
}

function checksumsOf(options: Options): RoutedOptions['checksums'] {
  const value = options[OPTION.checksums] ?? 'auto';
  const known = CHECKSUMS.find((name) => name === value);
  if (known === undefined) throw bad(OPTION.checksums, value, `must be one of ${CHECKSUMS.join(', ')}`);
  return known;
}

/** What a value must look like by itself. Whether it fits the range is for those to say who lease subnets out of it. */
function checkSubnets(options: Options): void {
  const lengths: readonly [key: string, most: number][] = [
    [OPTION.subnetLength4, 30],
    [OPTION.subnetLength6, 126],
  ];
  for (const [key, most] of lengths) numberOf(options, key, { least: 1, most, otherwise: 1 });
  const addresses: readonly [key: string, family: Family][] = [
    [OPTION.subnetMin4, 4],
    [OPTION.subnetMax4, 4],
    [OPTION.subnetMin6, 6],
    [OPTION.subnetMax6, 6],
  ];
  for (const [key, family] of addresses) {
    const value = options[key];
    if (value !== undefined && !(isIp(value) && familyOf(parseIp(value)) === family)) {
      throw bad(key, value, `must be an IPv${family} address, the first one of a subnet`);
    }
  }
}

function numberOf(
  options: Options,
  key: string,
  { least, most, otherwise }: { readonly least: number; readonly most: number; readonly otherwise: number },
): number {
  const text = options[key];
  if (text === undefined) return otherwise;
  const value = /^\d{1,8}$/.test(text) ? Number(text) : -1;
  if (value < least || value > most) throw bad(key, text, `must be a number from ${least} to ${most}`);
  return value;
}

const TRUE = ['1', 't', 'T', 'TRUE', 'true', 'True'];
const FALSE = ['0', 'f', 'F', 'FALSE', 'false', 'False'];

/** Of a value that the bridge driver has checked. */
export const isTrue = (value: string): boolean => TRUE.includes(value);

/** What Go's strconv.ParseBool takes, as Docker's options do. */
function boolOf(options: Options, key: string): boolean {
  const value = options[key];
  if (value === undefined) return false;
  if (TRUE.includes(value)) return true;
  if (FALSE.includes(value)) return false;
  throw bad(key, value, `must be a boolean: ${[...TRUE, ...FALSE].join(', ')}`);
}

function bad(key: string, value: string, rule: string): Error {
  return invalid(`invalid value ${JSON.stringify(shown(value))} for option ${key}: it ${rule}`);
}
