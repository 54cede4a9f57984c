/** What Consul says, as JSON, read with distrust. */
import { MoorError } from '../../base/errors.ts';
import { shown } from '../../base/shown.ts';

/** An entry of its key-value store. */
export interface KvPair {
  readonly key: string;
  /** Any bytes become some text: what is not UTF-8 is replaced by U+FFFD, and whoever reads the value will not take it for his own. */
  readonly value: string;
  readonly modifyIndex: number;
  /** The session that holds it. */
  readonly session: string | null;
}

/** Of a transaction: what it wrote, or why it wrote nothing. */
export interface TxnAnswer {
  readonly results: readonly KvPair[];
  readonly errors: readonly { readonly operation: number; readonly what: string }[];
}

type Fields = Readonly<Record<string, unknown>>;

/** @throws MoorError internal */
export function readPairs(text: string): readonly KvPair[] {
  return list(json(text)).map(pair);
}

/** @throws MoorError internal */
export function readTxn(text: string): TxnAnswer {
  const answer = fields(json(text));
  return {
    results: list(answer['Results'] ?? []).map((result) => pair(fields(result)['KV'])),
    errors: list(answer['Errors'] ?? []).map((error) => {
      const { OpIndex, What } = fields(error);
      return { operation: count(OpIndex), what: typeof What === 'string' ? What : '' };
    }),
  };
}

/** The id of a session that was made, or of those that were renewed. @throws MoorError internal */
export function readSession(text: string): { readonly id: string; readonly ttlMs: number | null } {
  const answer = json(text);
  const { ID, TTL } = fields(Array.isArray(answer) ? answer[0] : answer);
  if (typeof ID !== 'string' || !/^[0-9a-f-]{36}$/.test(ID)) throw strange(text);
  const ttlMs = typeof TTL === 'string' ? goDuration(TTL) : 0;
  return { id: ID, ttlMs: ttlMs > 0 ? ttlMs : null };
}

/** `24h0m0s`, as Go writes it, in milliseconds; 0 for what is no such text. */
export function goDuration(text: string): number {
  const [, hours = 0, minutes = 0, seconds = 0] = /^(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?$/.exec(text) ?? [];
  return ((Number(hours) * 60 + Number(minutes)) * 60 + Number(seconds)) * 1_000;
}

function pair(value: unknown): KvPair {
  const { Key, Value, ModifyIndex, Session } = fields(value);
  if (typeof Key !== 'string') throw strange(JSON.stringify(value));
  if (Value !== null && Value !== undefined && (typeof Value !== 'string' || !isBase64(Value)))
    throw strange(JSON.stringify(value));
  const modifyIndex = count(ModifyIndex);
  return {
    key: Key,
    value: typeof Value === 'string' ? Buffer.from(Value, 'base64').toString('utf8') : '',
    modifyIndex,
    session: typeof Session === 'string' && Session !== '' ? Session : null,
  };
}

/** Node's decoder passes over what it does not know, and a value that was cut short would look whole. */
const isBase64 = (text: string): boolean => text.length % 4 === 0 && /^[A-Za-z0-9+/]*={0,2}$/.test(text);

function json(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw strange(text);
  }
}

function fields(value: unknown): Fields {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw strange(JSON.stringify(value) ?? '');
  return value as Fields;
}

function list(value: unknown): readonly unknown[] {
  if (!Array.isArray(value)) throw strange(JSON.stringify(value) ?? '');
  return value;
}

function count(value: unknown): number {
  if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < 0) throw strange(JSON.stringify(value) ?? '');
  return value;
}

const strange = (text: string): MoorError => new MoorError('internal', `Consul's answer is not understood: ${shown(text, 100)}`);
