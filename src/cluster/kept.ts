/** What a node knows of the cluster, as text for its own disk: with it, a restart while the store is away goes on with what was known. */
import type { Logger } from '../base/clock.ts';
import { errorData } from '../base/errors.ts';
import type { Entry } from '../contracts/store.ts';
import { countOf, fieldsOf, listOf, parseFields, textOf } from './fields.ts';

export interface Kept {
  /** Of this node's last life. */
  readonly generation: number;
  /** As they were listed. What they say is checked as if the store said it. */
  readonly entries: readonly Entry[];
  /** Likewise, of layouts under prefixes of their own. */
  readonly elsewhere: Readonly<Record<string, readonly Entry[]>>;
  /** Endpoints on networks that this node takes part in, likewise. */
  readonly endpoints: readonly Entry[];
}

export const NOTHING_KEPT: Kept = { generation: 0, entries: [], elsewhere: {}, endpoints: [] };

export function keptText({ generation, entries, elsewhere, endpoints }: Kept): string {
  return JSON.stringify({ version: 1, generation, entries, elsewhere, endpoints });
}

/** What cannot be read counts as nothing, with a line in the log: the store has it all, later. */
export function readKept(text: string | null, logger: Logger): Kept {
  if (text === null) return NOTHING_KEPT;
  try {
    const fields = parseFields(text);
    countOf(fields['version'], 'version', 1);
    return {
      generation: countOf(fields['generation'], 'generation', Number.MAX_SAFE_INTEGER),
      entries: listOf(fields['entries'], 'entries', entryOf),
      elsewhere: Object.fromEntries(
        Object.entries(fieldsOf(fields['elsewhere'], 'elsewhere')).map(([prefix, list]) => [
          prefix,
          listOf(list, prefix, entryOf),
        ]),
      ),
      // Of a version that knew none: none.
      endpoints: listOf(fields['endpoints'] ?? [], 'endpoints', entryOf),
    };
  } catch (error) {
    logger.warn({ reason: errorData(error).message }, 'cluster: what was kept of it cannot be read and is passed over');
    return NOTHING_KEPT;
  }
}

function entryOf(value: unknown, name: string): Entry {
  const fields = fieldsOf(value, name);
  return {
    key: textOf(fields['key'], `${name}.key`),
    value: textOf(fields['value'], `${name}.value`),
    revision: countOf(fields['revision'], `${name}.revision`, Number.MAX_SAFE_INTEGER),
  };
}
