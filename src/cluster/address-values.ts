/** Addresses under the keys, as text and back. */
import { checkHostname } from '../model/names.ts';
import { parseFields, textOf } from './fields.ts';

/** Whose an address is: an endpoint's, which its node names, or a role's, which is the same on all nodes. */
export interface AddressValue {
  readonly node: string;
  readonly owner: string;
}

/** `gateway`, `aux:name`: it belongs to the network, is under no lease and goes with the network. Owners have a space in them. */
export const isRole = (owner: string): boolean => owner === 'gateway' || owner.startsWith('aux:');

export const addressText = ({ node, owner }: AddressValue): string => JSON.stringify({ node, owner });

/** @throws invalid */
export function readAddress(text: string): AddressValue {
  const fields = parseFields(text);
  return { node: checkHostname(textOf(fields['node'], 'node')), owner: textOf(fields['owner'], 'owner') };
}
