/**
 * A watch that outlives connections and servers: each time it begins again behind the last change it has told. It ends by its signal,
 * or when going on would leave a gap.
 */
import type { SteadyClock } from '../../base/clock.ts';
import { MoorError } from '../../base/errors.ts';
import { CompactedError, type Revision, type StoreEvent } from '../../contracts/store.ts';
import { RANGE, WATCH, type WatchMessage } from './api.ts';
import type { Client } from './client.ts';
import { Events } from './events.ts';
import { isPassing, isTokenStale, storeFault } from './faults.ts';
import { GRPC, RpcError } from './grpc.ts';
import { type Incoming, openIncoming } from './incoming.ts';
import type { Keys } from './keys.ts';
import { pause } from '../pause.ts';
import { startPulse } from './pulse.ts';
import type { CallHeaders, Session } from './session.ts';

export interface WatchDeps {
  readonly client: Client;
  readonly keys: Keys;
  readonly clock: SteadyClock;
  /** 0 to 1. */
  readonly random: () => number;
}

/** Before a watch that a living server has ended is begun again, in milliseconds; up to this, by chance. */
const AGAIN_MAX_MS = 200;

/** @throws CompactedError; forbidden; unsupported */
export async function* watch(
  deps: WatchDeps,
  { prefix, from }: { readonly prefix: string; readonly from: Revision },
  signal: AbortSignal,
): AsyncGenerator<readonly StoreEvent[], void, void> {
  const events = new Events(deps.keys, from);
  let cluster: bigint | null = null;
  // A second refusal in a row is meant.
  let refusals = 0;
  while (!signal.aborted) {
    let session: Session | null = null;
    let headers: CallHeaders = {};
    try {
      ({ session, headers } = await deps.client.connect(signal));
      using incoming = openIncoming(session, { path: WATCH.path, headers }, signal);
      const progress = WATCH.request.encode({ progressRequest: {} });
      using _pulse = startPulse({ session, clock: deps.clock, ask: () => incoming.ask(progress) });
      incoming.send(
        WATCH.request.encode({
          createRequest: { ...deps.keys.range(prefix), startRevision: events.seen + 1, progressNotify: true, fragment: true },
        }),
      );
      for await (const message of messages(incoming)) {
        if (message.created && !message.canceled) {
          refusals = 0;
          const { clusterId = 0n, revision = 0 } = message.header ?? {};
          // Its revisions are of another history, whatever their numbers.
          if (cluster !== null && cluster !== clusterId) throw goneBack(prefix, events.seen, 'is another cluster now');
          cluster = clusterId;
          await checkAhead(deps, { prefix, seen: events.seen, shown: revision });
        }
        if (message.canceled) throw ended(message, { prefix, seen: events.seen, server: session.name });
        const news = events.take(message);
        if (news.length > 0) yield news;
      }
    } catch (error) {
      if (signal.aborted) return;
      const again = isOutage(error) || (isRefusal(error) && refusals++ === 0 && deps.client.refused(headers));
      if (!again) throw storeFault(`watch ${prefix}`, error);
      if (session && isPassing(error)) deps.client.leave(session, error);
    }
    events.interrupt();
    await pause(AGAIN_MAX_MS * deps.random(), signal);
  }
}

async function* messages(incoming: Incoming): AsyncGenerator<WatchMessage, void, void> {
  for await (const bytes of incoming.messages) yield WATCH.response.decode(bytes);
}

/** Watches are refused for an old token with the words for a missing permission. */
function isRefusal(error: unknown): boolean {
  return isTokenStale(error) || (error instanceof RpcError && error.code === GRPC.PERMISSION_DENIED);
}

function isOutage(error: unknown): boolean {
  if (error instanceof MoorError) return !(error instanceof CompactedError) && ['unavailable', 'timeout'].includes(error.kind);
  return isPassing(error);
}

interface Place {
  readonly prefix: string;
  readonly seen: Revision;
  readonly server: string;
}

/** Why the server has ended the watch. */
function ended({ compactRevision, cancelReason }: WatchMessage, { prefix, seen, server }: Place): Error {
  if (compactRevision > 0) {
    return new CompactedError(`cannot watch ${prefix} from revision ${seen}: compacted up to ${compactRevision}, list again`);
  }
  const text = `${server}: ${cancelReason === '' ? 'the watch was ended' : cancelReason}`;
  if (/permission denied/.test(cancelReason)) return new RpcError(GRPC.PERMISSION_DENIED, text, true);
  if (/auth token|user name is empty/.test(cancelReason)) return new RpcError(GRPC.UNAUTHENTICATED, text, true);
  return new RpcError(GRPC.UNAVAILABLE, text, true);
}

/**
 * A server that is behind what we have seen: a member that lags will catch up, and the watch waits for that. But when the whole cluster
 * is behind (restored from a backup, or begun anew), the watch would pass over what is written until its revision is reached again.
 */
async function checkAhead(
  { client, keys }: WatchDeps,
  { prefix, seen, shown }: { readonly prefix: string; readonly seen: Revision; readonly shown: Revision },
): Promise<void> {
  if (shown >= seen) return;
  const request = { ...keys.range(prefix), limit: 1, keysOnly: true };
  const { header } = await client.call(RANGE, request, { action: `watch ${prefix}`, repeatable: true });
  const revision = header?.revision ?? 0;
  if (revision < seen) throw goneBack(prefix, seen, `has gone back to ${revision}`);
}

const goneBack = (prefix: string, seen: Revision, what: string): CompactedError =>
  new CompactedError(`cannot watch ${prefix} from revision ${seen}: the store ${what}, list again`);
