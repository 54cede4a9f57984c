/** Driver options (`docker network create -d overlay -o KEY=VALUE`) -> typed options. Docker's names and meanings where it has one. */
import { invalid, unsupported } from '../../base/errors.ts';
import { shown } from '../../base/shown.ts';
import type { Network } from '../../model/network.ts';

export const OPTION = {
  vnis: 'com.docker.network.driver.overlay.vxlanid_list',
  mtu: 'com.docker.network.driver.mtu',
  prefix: 'com.docker.network.container_iface_prefix',
  port: 'port',
} as const;

/** Docker's word for IPsec between the hosts. */
const ENCRYPTED = 'encrypted';

export interface OverlayOptions {
  /** VXLAN network identifier (RFC 7348 section 5): 24 bits. null: the cluster has not given one yet. */
  readonly vni: number | null;
  /** UDP port at which hosts take each other's packets. */
  readonly port: number;
  /** Of endpoints, bytes; null = what the underlay leaves. */
  readonly mtu: number | null;
  /** First part of interface names inside a sandbox; a number follows. */
  readonly prefix: string;
}

/** IANA's, and Docker's. */
const PORT = 4789;
const PORT_MAX = 65_535;
const VNI_MAX = 2 ** 24 - 1;
/** RFC 791; RFC 8200 section 5; ETH_MAX_MTU, <linux/if_ether.h>, less the headers of a tunnel over IPv6. */
const MTU_MIN = 68;
export const MTU_MIN_IPV6 = 1280;
const MTU_MAX = 65_535 - 70;
/** IFNAMSIZ - 1 less three digits for the interface's number. */
const PREFIX_MAX = 12;

/**
 * @throws invalid for an option that is not known (naming it and the known ones) and for a bad value (naming option, value and rule);
 * unsupported for `encrypted`
 */
export function parseOptions({ options, ipv6, name }: Pick<Network, 'options' | 'ipv6' | 'name'>): OverlayOptions {
  const known: readonly string[] = Object.values(OPTION);
  for (const key of Object.keys(options)) {
    if (key === ENCRYPTED) checkEncrypted(name, options[key] ?? '');
    else if (!known.includes(key))
      throw invalid(`unknown option ${key} for driver overlay: the known ones are ${known.join(', ')}`);
  }
  const least = ipv6 ? MTU_MIN_IPV6 : MTU_MIN;
  const mtu = options[OPTION.mtu];
  const port = options[OPTION.port];
  const prefix = options[OPTION.prefix];
  return {
    vni: vnis(options[OPTION.vnis])[0] ?? null,
    port: port === undefined ? PORT : number(OPTION.port, port, { least: 1, most: PORT_MAX, what: 'a number' }),
    mtu: mtu === undefined ? null : number(OPTION.mtu, mtu, { least, most: MTU_MAX, what: 'a number of bytes' }),
    prefix: prefix === undefined ? 'eth' : interfacePrefix(prefix),
  };
}

/** All subnets of a network are one segment here, so that one VNI is enough; Docker has one for each subnet, and takes a list. */
function vnis(text: string | undefined): readonly number[] {
  if (text === undefined) return [];
  return text
    .split(',')
    .map((one) => number(OPTION.vnis, one.trim(), { least: 1, most: VNI_MAX, what: 'numbers, with commas between them,' }));
}

/** Go's strconv.ParseBool takes these for false; Docker takes the bare word for true. */
const FALSE: readonly string[] = ['0', 'f', 'F', 'FALSE', 'false', 'False'];

function checkEncrypted(network: string, value: string): void {
  if (FALSE.includes(value)) return;
  throw unsupported(
    `Cannot create network ${network}: option ${ENCRYPTED} is not supported: packets between hosts would travel in the clear; ` +
      'advertise an address of an encrypted link between the hosts instead (a WireGuard device, with --cluster-advertise DEVICE)',
  );
}

function interfacePrefix(value: string): string {
  if (/^[A-Za-z_][A-Za-z0-9_.-]*$/.test(value) && value.length <= PREFIX_MAX) return value;
  throw bad(OPTION.prefix, value, `must be 1 to ${PREFIX_MAX} of the characters [A-Za-z0-9_.-], the first one a letter or '_'`);
}

function number(
  key: string,
  text: string,
  { least, most, what }: { readonly least: number; readonly most: number; readonly what: string },
): number {
  const value = /^\d{1,8}$/.test(text) ? Number(text) : -1;
  if (value < least || value > most) throw bad(key, text, `must be ${what} from ${least} to ${most}`);
  return value;
}

function bad(key: string, value: string, rule: string): Error {
  return invalid(`invalid value ${JSON.stringify(shown(value))} for option ${key}: it ${rule}`);
}
