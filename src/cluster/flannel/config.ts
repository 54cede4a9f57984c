/** flannel's network configuration, `<prefix>/config`: JSON with Go's field names, which Go reads whatever their case. */
import { invalid } from '../../base/errors.ts';
import type { Family, Prefix } from '../../base/ip.ts';
import { countOf, type Fields, fieldsOf, flagOf, parseFields, prefixIn, textOf } from '../fields.ts';
import { type SubnetSpace, subnetSpaces } from '../spaces.ts';

export interface FlannelConfig {
  /** IPv4 first; flannel's keys in etcd cannot do without it. */
  readonly spaces: readonly SubnetSpace[];
  readonly backend: string;
  /** 1 unless it says otherwise. */
  readonly vni: number;
}

const VNI_MAX = 2 ** 24 - 1;
const LENGTH_MAX = 128;

/** @throws invalid */
export function readConfig(text: string): FlannelConfig {
  const fields = anyCase(parseFields(text));
  const ipv6 = fields('EnableIPv6');
  if (fields('EnableIPv4') === false) throw invalid('EnableIPv4: a network without IPv4 has no keys in etcd');
  const ranges: Prefix[] = [prefixIn(fields('Network'), 'Network')];
  if (ipv6 !== undefined && flagOf(ipv6, 'EnableIPv6')) ranges.push(prefixIn(fields('IPv6Network'), 'IPv6Network'));
  const backend = fields('Backend');
  const within = anyCase(backend === undefined || backend === null ? { Type: 'udp' } : fieldsOf(backend, 'Backend'));
  const vni = within('VNI');
  return {
    spaces: subnetSpaces(ranges, { ...optionsOf(fields, 4), ...optionsOf(fields, 6) }),
    backend: textOf(within('Type') ?? '', 'Backend.Type'),
    vni: vni === undefined ? 1 : countOf(vni, 'Backend.VNI', VNI_MAX),
  };
}

/** The same in our own options. Zero and empty mean: not set. */
function optionsOf(fields: (name: string) => unknown, family: Family): Readonly<Record<string, string>> {
  const options: Record<string, string> = {};
  const [before, behind] = family === 4 ? ['', ''] : ['IPv6', '6'];
  const length = fields(`${before}SubnetLen`);
  if (length !== undefined && length !== 0)
    options[`subnet-len${behind}`] = String(countOf(length, `${before}SubnetLen`, LENGTH_MAX));
  for (const end of ['Min', 'Max']) {
    const value = fields(`${before}Subnet${end}`);
    const text = value === undefined || value === null ? '' : textOf(value, `${before}Subnet${end}`);
    if (text !== '' && text !== '0.0.0.0') options[`subnet-${end.toLowerCase()}${behind}`] = text;
  }
  return options;
}

function anyCase(fields: Fields): (name: string) => unknown {
  const lower = new Map(Object.entries(fields).map(([name, value]) => [name.toLowerCase(), value]));
  return (name) => fields[name] ?? lower.get(name.toLowerCase());
}
