/** The messages of an open call, one after another, at the reader's pace: when he is slow, the server is told to wait. */
import { GRPC, RpcError } from './grpc.ts';
import type { CallHeaders, Session } from './session.ts';

/** Messages kept for a slow reader before the server has to wait. */
const WAITING_MAX = 64;

export interface Incoming extends Disposable {
  readonly send: (message: Uint8Array) => void;
  /** Like `send`, unless answers could not be read now. @returns whether it was sent */
  readonly ask: (message: Uint8Array) => boolean;
  /** Ends when the server has ended the call well. @throws RpcError */
  readonly messages: AsyncIterable<Buffer>;
}

/** @param signal cancels the call */
export function openIncoming(
  session: Session,
  { path, headers }: { readonly path: string; readonly headers: CallHeaders },
  signal: AbortSignal,
): Incoming {
  let waiting: Buffer[] = [];
  let paused = false;
  let outcome: { readonly error: RpcError | null } | null = null;
  let wake: () => void = () => {};
  const call = session.start(path, headers, {
    message: (message) => {
      waiting.push(message);
      if (waiting.length >= WAITING_MAX && !paused) {
        paused = true;
        call.pause();
      }
      wake();
    },
    end: (error) => {
      outcome ??= { error };
      wake();
    },
  });
  const cancel = (): void => call.fail(new RpcError(GRPC.CANCELLED, `${session.name}: given up`, true));
  signal.addEventListener('abort', cancel, { once: true });
  if (signal.aborted) cancel();

  async function* messages(): AsyncGenerator<Buffer, void, void> {
    for (;;) {
      // What came before the end is still read.
      const batch = waiting;
      waiting = [];
      yield* batch;
      if (waiting.length > 0) continue;
      if (paused) {
        paused = false;
        call.resume();
      }
      const end = outcome;
      if (end?.error) throw end.error;
      if (end) return;
      await new Promise<void>((resolve) => (wake = resolve));
    }
  }

  return {
    send: (message) => call.send(message),
    ask: (message) => {
      if (paused) return false;
      call.send(message);
      return true;
    },
    messages: messages(),
    [Symbol.dispose]: () => {
      signal.removeEventListener('abort', cancel);
      cancel();
    },
  };
}
