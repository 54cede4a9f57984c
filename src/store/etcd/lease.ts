/** A lease of etcd: a number with which it is kept alive, or revoked. */
import type { LeaseWire } from '../held-lease.ts';
import { LEASE_KEEP_ALIVE, LEASE_REVOKE } from './api.ts';
import type { Client } from './client.ts';

/** As etcdctl writes it. */
export const leaseName = (id: bigint): string => BigInt.asUintN(64, id).toString(16);
export const leaseNumber = (name: string): bigint => BigInt.asIntN(64, BigInt(`0x${name}`));

export function leaseWire(client: Client, id: bigint): LeaseWire {
  return {
    renew: async (timeoutMs) => {
      const call = { action: `renew lease ${leaseName(id)}`, repeatable: true, timeoutMs };
      return (await client.call(LEASE_KEEP_ALIVE, { id }, call)).ttl * 1000;
    },
    end: async () => void (await client.call(LEASE_REVOKE, { id }, { action: `end lease ${leaseName(id)}`, repeatable: true })),
  };
}
