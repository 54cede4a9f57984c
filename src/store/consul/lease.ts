/** A lease as a session with a time to live, whose entries are deleted when it ends. Consul may take up to twice that time to end it. */
import { invalid, MoorError } from '../../base/errors.ts';
import type { LeaseWire } from '../held-lease.ts';
import { goDuration, readSession } from './answers.ts';
import type { Client } from './client.ts';
import { ttlBounds } from './faults.ts';

/** Renewed for this long where Consul does not say for how long: its least by default, in milliseconds. */
const TTL_MIN_MS = 10_000;

/** Whole seconds, and no less than Consul takes: 10 s, unless session_ttl_min says otherwise. @throws MoorError invalid for more than it takes */
export async function createSession(client: Client, wantedMs: number): Promise<{ readonly id: string; readonly ttlMs: number }> {
  const ttlMs = Math.ceil(wantedMs / 1_000) * 1_000;
  try {
    return { id: await create(client, ttlMs), ttlMs };
  } catch (error) {
    const bounds = ttlBounds(error instanceof MoorError ? error.cause : error);
    if (bounds === null) throw error;
    const [least, most] = bounds.map(goDuration);
    const allowed = Math.min(most ?? 0, Math.max(least ?? 0, ttlMs));
    if (allowed <= 0 || allowed === ttlMs) throw error;
    // Others would take what is under the lease while its holder believes it has time.
    if (allowed < ttlMs)
      throw invalid(`cannot take a lease of ${ttlMs / 1_000} s: Consul lets a session live for ${bounds[1]} at most`);
    return { id: await create(client, allowed), ttlMs: allowed };
  }
}

async function create(client: Client, ttlMs: number): Promise<string> {
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
