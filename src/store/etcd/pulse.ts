/**
 * Notices a server that says nothing any more: a black hole in the network, a stopped process, a machine without power. TCP would take
 * minutes, or for ever when nothing is sent. HTTP/2's own pings will not do: etcd answers more than one in 5 s by hanging up
 * (--grpc-keepalive-min-time), while a question on an open watch is a call like any other, and proves more.
 */
import type { SteadyClock } from '../../base/clock.ts';
import type { Session } from './session.ts';

/** Silence after which we ask, and time for an answer, in milliseconds. */
const ASK_AFTER_MS = 2_000;
const ANSWER_MS = 1_500;

export interface PulseOptions {
  readonly session: Session;
  readonly clock: SteadyClock;
  /** Makes the server say something; false: now is not the time, as we do not listen. */
  readonly ask: () => boolean;
}

/** Disposing it ends the checks. They keep no process alive: the connection does. */
export function startPulse({ session, clock, ask }: PulseOptions): Disposable {
  let timer: NodeJS.Timeout;
  const check = (): void => {
    const silent = clock.elapsed() - session.heardAt;
    if (silent < ASK_AFTER_MS) wait(ASK_AFTER_MS - silent);
    else if (session.askedAfter === session.heard || ask()) {
      // Of several on one connection only the first asks, and all of them wait for its answer.
      const asked = session.heard;
      session.askedAfter = asked;
      timer = setTimeout(() => {
        if (session.heard === asked) session.destroy(`no sign of life for ${Math.round(clock.elapsed() - session.heardAt)} ms`);
        else check();
      }, ANSWER_MS).unref();
    } else wait(ASK_AFTER_MS);
  };
  // The clock has steps of 10 ms: a little late, so as not to look twice.
  const wait = (ms: number): void => void (timer = setTimeout(check, ms + 10).unref());
  wait(ASK_AFTER_MS);
  return { [Symbol.dispose]: () => clearTimeout(timer) };
}
