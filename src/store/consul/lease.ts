/** A lease as a session with a time to live, whose entries are deleted when it ends. */
import { MoorError } from '../../base/errors.ts';
import type { LeaseWire } from '../held-lease.ts';
import { readSession } from './answers.ts';
import type { Client } from './client.ts';

/** Consul's own bounds (agent/structs, SessionTTLMin and SessionTTLMax), in milliseconds. It may take up to twice as long to act. */
const TTL_MIN_MS = 10_000;
const TTL_MAX_MS = 86_400_000;

/** What Consul makes of a time to live, in milliseconds. */
export const sessionTtl = (ttlMs: number): number => Math.min(TTL_MAX_MS, Math.max(TTL_MIN_MS, Math.ceil(ttlMs / 1_000) * 1_000));

export async function createSession(client: Client, ttlMs: number): Promise<string> {
  const body = JSON.stringify({
    Name: 'moorline',
    TTL: `${ttlMs / 1_000}s`,
    Behavior: 'delete',
    // A key that a lease let go may be taken at once: who held it knows by its clock that it is lost.
    LockDelay: '0s',
    // Not bound to the health of the server's agent: it is our life that counts.
    NodeChecks: [],
  });
  // A session that was lost on its way back runs out with nothing under it.
  const answer = await client.call(
    { method: 'PUT', path: '/v1/session/create', body },
    { action: 'take a lease', repeatable: true },
  );
  return readSession(answer.text).id;
}

export function sessionWire(client: Client, id: string): LeaseWire {
  return {
    renew: async (timeoutMs) => {
      const options = { action: `renew lease ${id}`, repeatable: true, also: [404], timeoutMs };
      const answer = await client.call({ method: 'PUT', path: `/v1/session/renew/${id}` }, options);
      if (answer.status === 404) return 0;
      const renewed = readSession(answer.text);
      if (renewed.id !== id) throw new MoorError('internal', `cannot renew lease ${id}: Consul has renewed ${renewed.id}`);
      return renewed.ttlMs ?? TTL_MIN_MS;
    },
    end: async () =>
      void (await client.call(
        { method: 'PUT', path: `/v1/session/destroy/${id}` },
        { action: `end lease ${id}`, repeatable: true },
      )),
  };
}
