/** Where etcd is, as one text: `etcd://[user:password@]HOST[:2379][,HOST2[:2379]...][/prefix][?ca=FILE&cert=FILE&key=FILE]`. */
import { type StoreAddress, StoreUrl } from '../address.ts';
import type { Credentials } from './auth.ts';

export interface EtcdAddress extends StoreAddress {
  readonly auth?: Credentials;
}

/** Registered by IANA for etcd's clients. */
const PORT = 2379;

/** @throws invalid, naming the part that is wrong */
export function parseEtcdUrl(text: string): EtcdAddress {
  const url = new StoreUrl(text, { scheme: 'etcd', name: 'etcd', port: PORT });
  const auth = url.userPassword();
  return { ...url.address, ...(auth === null ? {} : { auth }) };
}
