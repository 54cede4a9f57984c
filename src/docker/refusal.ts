/** Kinds of error that Docker answers with another status than Moorline's table says. */
import { MoorError } from '../base/errors.ts';

/** An address that is taken is `types.ForbiddenErrorf` in moby (libnetwork/ipamapi): 403. Ours is a conflict. */
export function asDockerRefusal(error: unknown): unknown {
  if (!(error instanceof MoorError) || !error.message.includes('Address already in use')) return error;
  return new MoorError('forbidden', error.message, { cause: error });
}
