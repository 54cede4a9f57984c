/** One daemon per instance and network namespace. */
import type { Logger } from '../../base/clock.ts';
import { MoorError } from '../../base/errors.ts';
import { type Instance, tableName } from '../../model/instance.ts';
import { holderOf, holdName } from '../../sys/held-name.ts';

/**
 * Two with the same instance have the same table and the same mark on links, and each would sweep what the other made: no row of its
 * own store names it. Other files, sockets and pidfiles do not keep them apart.
 * @returns gives the place up
 * @throws conflict when another daemon has it
 */
export function takeNetns(instance: Instance, logger: Logger): Disposable {
  const name = `moorline/${tableName(instance)}`;
  const held = holdName(name);
  if (held !== null) return { [Symbol.dispose]: () => held.close() };
  const holder = holderOf(name);
  const who = holder === null || holder.pid === 0 ? 'another process' : `process ${holder.pid}`;
  // Any user can take a free name: one who is not root must not keep the daemon from starting.
  if (holder !== null && holder.uid !== 0) {
    logger.warn({ uid: holder.uid }, `${who}, which is not root's, holds the name @${name}: a second moord would not be noticed`);
    return { [Symbol.dispose]: () => {} };
  }
  throw new MoorError(
    'conflict',
    `${who} is a moord ${instance.id === '' ? 'without --instance' : `of instance ${instance.id}`} in this network namespace already: ` +
      'give this one another --instance, or a network namespace of its own',
  );
}
