/**
 * A lease in flannel's layout: key `subnets/10.244.1.0-24`, with `&fd00:1::-64` behind it in a network of both families; value as Go's
 * encoding/json writes its LeaseAttrs (pkg/lease, pkg/backend/vxlan). flanneld reads ours, and we read flanneld's.
 */
import { invalid } from '../../base/errors.ts';
import { familyOf, type IpAddress, type Prefix } from '../../base/ip.ts';
import { type Mac, parseMac } from '../../base/mac.ts';
import { countOf, fieldsOf, hostAddressOf, parseFields, textOf } from '../fields.ts';
import { parseSubnetWord, subnetWord } from '../keys.ts';

export interface FlannelLease {
  /** null: none of this family. */
  readonly publicIp: IpAddress | null;
  readonly publicIpv6: IpAddress | null;
  /** `vxlan`, `host-gw`, `udp`, `alloc`, or what else flannel knows. */
  readonly backend: string;
  readonly vni: number;
  /** Of the VTEPs (backend vxlan). */
  readonly mac4: Mac | null;
  readonly mac6: Mac | null;
}

/** VXLAN's VNI is 24 bits; flannel keeps 16 in a lease. */
const VNI_MAX = 2 ** 24 - 1;

/** @param subnets IPv4, or IPv4 and IPv6 */
export const leaseKey = (subnets: readonly Prefix[]): string => `subnets/${subnets.map(subnetWord).join('&')}`;

/** @throws invalid unless it is what `leaseKey` makes */
export function readLeaseKey(key: string): readonly Prefix[] {
  const words = key.replace(/^subnets\//, '').split('&');
  const subnets = words.map(parseSubnetWord);
  const families = subnets.map(familyOf).join();
  if ((families !== '4' && families !== '4,6') || leaseKey(subnets) !== key) throw invalid('no key of a lease');
  return subnets;
}

export function leaseText({ publicIp, publicIpv6, backend, vni, mac4, mac6 }: FlannelLease): string {
  const data = (mac: Mac | null): { readonly VNI: number; readonly VtepMAC: Mac } | undefined =>
    mac === null ? undefined : { VNI: vni, VtepMAC: mac };
  return JSON.stringify({
    PublicIP: publicIp ?? '0.0.0.0',
    PublicIPv6: publicIpv6,
    BackendType: backend,
    BackendData: data(mac4),
    BackendV6Data: data(mac6),
  });
}

export function readLease(text: string): FlannelLease {
  const fields = parseFields(text);
  const address = (name: string, none: string): IpAddress | null => {
    const value = fields[name];
    return value === undefined || value === null || value === none ? null : hostAddressOf(value, name);
  };
  const publicIp = address('PublicIP', '0.0.0.0');
  const publicIpv6 = address('PublicIPv6', '::');
  if (publicIp === null && publicIpv6 === null) throw invalid('PublicIP: there is none');
  if (publicIp !== null && familyOf(publicIp) !== 4) throw invalid(`PublicIP: ${publicIp} is IPv6`);
  if (publicIpv6 !== null && familyOf(publicIpv6) !== 6) throw invalid(`PublicIPv6: ${publicIpv6} is IPv4`);
  const backend = fields['BackendType'] === undefined ? '' : textOf(fields['BackendType'], 'BackendType');
  const vtep = (name: string): { readonly vni: number; readonly mac: Mac } | null => {
    const value = fields[name];
    if (backend !== 'vxlan' || value === undefined || value === null) return null;
    const data = fieldsOf(value, name);
    return {
      vni: data['VNI'] === undefined ? 1 : countOf(data['VNI'], `${name}.VNI`, VNI_MAX),
      mac: parseMac(textOf(data['VtepMAC'], `${name}.VtepMAC`)),
    };
  };
  const four = vtep('BackendData');
  const six = vtep('BackendV6Data');
  return { publicIp, publicIpv6, backend, vni: (four ?? six)?.vni ?? 1, mac4: four?.mac ?? null, mac6: six?.mac ?? null };
}
