/** Endpoints under the keys, as text and back. Readers throw `invalid`: anybody who reaches the store may have written it. */
import { invalid } from '../base/errors.ts';
import { type Id, isId } from '../base/ids.ts';
import { familyOf, type IpAddress, parseIp, prefixContains } from '../base/ip.ts';
import { parseMac } from '../base/mac.ts';
import { isDnsName } from '../model/dns-names.ts';
import { checkHostname } from '../model/names.ts';
import type { Network } from '../model/network.ts';
import type { LocalEndpoint } from '../model/node.ts';
import { countOf, listOf, parseFields, textOf } from './fields.ts';
import { GENERATION_MAX, spaceOf } from './values.ts';

/** Who tells it: an entry of an earlier life never counts against one of a later. */
export interface EndpointValue extends LocalEndpoint {
  readonly node: string;
  readonly generation: number;
}

export function endpointText({ id: _, ...rest }: EndpointValue): string {
  return JSON.stringify(rest);
}

/** @param network whose addresses they have to be; null: any */
export function readEndpoint(id: Id, text: string, network: Network | null): EndpointValue {
  const fields = parseFields(text);
  const addresses = listOf(fields['addresses'], 'addresses', (value, name) => parseIp(textOf(value, name)));
  if (new Set(addresses.map(familyOf)).size < addresses.length)
    throw invalid(`addresses: ${addresses.join(', ')}, one of a family at most is wanted`);
  for (const address of addresses) {
    if (network !== null && !within(network, address))
      throw invalid(`addresses: ${address} is none of network ${network.name} (${spaceOf(network).join(', ')})`);
  }
  return {
    id,
    node: checkHostname(textOf(fields['node'], 'node')),
    generation: countOf(fields['generation'], 'generation', GENERATION_MAX),
    sandbox: textOf(fields['sandbox'], 'sandbox'),
    sandboxId: idIn(fields['sandboxId'], 'sandboxId'),
    mac: fields['mac'] === null ? null : parseMac(textOf(fields['mac'], 'mac')),
    addresses,
    names: listOf(fields['names'], 'names', nameIn),
  };
}

const within = (network: Network, address: IpAddress): boolean =>
  spaceOf(network).some((prefix) => prefixContains(prefix, address));

function idIn(value: unknown, name: string): Id {
  const text = textOf(value, name);
  if (!isId(text)) throw invalid(`${name}: no id`);
  return text;
}

function nameIn(value: unknown, name: string): string {
  const text = textOf(value, name);
  if (!isDnsName(text)) throw invalid(`${name}: nobody can ask for it`);
  return text;
}
