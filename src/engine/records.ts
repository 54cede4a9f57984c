/**
 * Rows of the store: JSON with a schema version. `network/<id>`, `sandbox/<id>` (without its endpoints), `endpoint/<id>` (so that
 * a connect writes one small row), `turn/<id>` (of a network), `journal/<id>`, `meta/…`.
 */
import type { ErrorData } from '../base/errors.ts';
import { errorData, invalid } from '../base/errors.ts';
import { type Id, isId } from '../base/ids.ts';
import type { IpAddress, Prefix } from '../base/ip.ts';
import type { Change } from '../contracts/change.ts';
import type { Entry, Store, Write } from '../contracts/store.ts';
import type { Network } from '../model/network.ts';
import type { Endpoint, Sandbox, SandboxDns } from '../model/sandbox.ts';

/** Raised when the meaning of a row changes; a newer daemon's rows are refused rather than misread. */
const SCHEMA = 1;

/** A sandbox as stored. */
export type SandboxRow = Omit<Sandbox, 'endpoints'>;

/**
 * What an operation was about to do. `unmake`: the object's row is gone already, so the changes are carried through. `make`: it stores
 * nothing of its own, and is acknowledged when this row is gone, so one that is found at start is reverted.
 */
export interface JournalRow {
  readonly type: 'make' | 'unmake';
  readonly title: string;
  readonly changes: readonly Change[];
}

/** By what resolv.conf of the host, and which flags of the daemon, those of sandboxes were written. */
export interface DnsRow {
  readonly resolvConf: string;
  readonly resolvedConf?: string;
  readonly daemon?: SandboxDns;
}

export interface HostRow {
  /** Those of the host that we replaced, with the value that was there before our first start. */
  readonly sysctls: Readonly<Record<string, string>>;
  readonly dns?: DnsRow;
}

/** Ids of the predefined networks by name: they stay when a row is damaged, and so the marks on their devices. */
export type PredefinedRow = Readonly<Record<string, Id>>;

/** By subnet, where the order of a network's addresses goes on. */
export type Turns = Readonly<Record<Prefix, IpAddress>>;

export interface UnreadableRow {
  readonly key: string;
  readonly error: ErrorData;
}

/** Everything that the store holds. */
export interface Loaded {
  readonly networks: readonly Network[];
  readonly turns: ReadonlyMap<string, Turns>;
  readonly sandboxes: readonly Sandbox[];
  readonly journal: readonly { readonly key: string; readonly row: JournalRow }[];
  readonly host: HostRow | null;
  readonly predefined: PredefinedRow;
  readonly unreadable: readonly UnreadableRow[];
}

const HOST_KEY = 'meta/host';
const PREDEFINED_KEY = 'meta/predefined';
/** What the cluster had this host keep. The composition root reads and writes it. */
export const CLUSTER_KEY = 'meta/cluster';
/** Where this host met the others last: a start without a cluster plans its networks by it. */
export const UNDERLAY_KEY = 'meta/underlay';
/** What was known of the ways to the others. */
export const PATHS_KEY = 'meta/paths';
export const META_KEYS: readonly string[] = [HOST_KEY, PREDEFINED_KEY, CLUSTER_KEY, UNDERLAY_KEY, PATHS_KEY];

const put = (key: string, value: object): Write => ({ type: 'put', key, value: JSON.stringify({ schema: SCHEMA, ...value }) });
const del = (key: string): Write => ({ type: 'delete', key });

export const networkKey = (id: Id): string => `network/${id}`;
export const putNetwork = (network: Network): Write => put(networkKey(network.id), { network });
export const deleteNetwork = (id: Id): Write => del(networkKey(id));

const turnKey = (network: string): string => `turn/${network}`;
export const putTurns = (network: Id, turns: Turns): Write => put(turnKey(network), { turns });
export const deleteTurns = (network: Id): Write => del(turnKey(network));

export function putSandbox(sandbox: Sandbox): Write {
  const { endpoints: _, ...row } = sandbox;
  return put(`sandbox/${sandbox.id}`, { sandbox: row satisfies SandboxRow });
}
export const deleteSandbox = (id: Id): Write => del(`sandbox/${id}`);

export const putEndpoint = (endpoint: Endpoint): Write => put(`endpoint/${endpoint.id}`, { endpoint });
export const deleteEndpoint = (id: Id): Write => del(`endpoint/${id}`);

export const journalKey = (id: Id): string => `journal/${id}`;
export const putJournal = (key: string, row: JournalRow): Write => put(key, row);
export const deleteKey = del;

export const putHost = (row: HostRow): Write => put(HOST_KEY, row);
export const putPredefined = (ids: PredefinedRow): Write => put(PREDEFINED_KEY, { ids });

/** Reads all rows. One that cannot be read is listed, and the others are served without it. */
export async function loadRows(store: Store): Promise<Loaded> {
  const unreadable: UnreadableRow[] = [];
  const read = async <T>(prefix: string, parse: (key: string, row: Readonly<Record<string, unknown>>) => T): Promise<T[]> => {
    const { entries } = await store.list(prefix);
    return entries.flatMap((entry) => {
      try {
        return [parse(entry.key, parseRow(entry))];
      } catch (error) {
        unreadable.push({ key: entry.key, error: errorData(error) });
        return [];
      }
    });
  };
  const networks = await read('network/', (key, row) => checked<Network>(key, row['network'], ['name', 'driver', 'pools']));
  const turns = await read('turn/', (key, row) => [key, fields<Turns>(key, row['turns'], [])] as const);
  const rows = await read('sandbox/', (key, row) => checked<SandboxRow>(key, row['sandbox'], ['name', 'netns']));
  const endpoints = await read('endpoint/', (key, row) => checked<Endpoint>(key, row['endpoint'], ['networkId', 'sandboxId']));
  const journal = await read('journal/', (key, row) => ({ key, row: journalRow(key, row) }));
  const host = await read(HOST_KEY, (key, row) => ({
    sysctls: fields<Record<string, string>>(key, row['sysctls'], []),
    ...('dns' in row ? { dns: fields<DnsRow>(key, row['dns'], ['resolvConf']) } : {}),
  }));
  const predefined = await read(PREDEFINED_KEY, (key, row) => fields<PredefinedRow>(key, row['ids'], []));
  const bySandbox = Map.groupBy(endpoints.toSorted(byAge), (endpoint) => endpoint.sandboxId);
  return {
    networks: networks.toSorted(byAge),
    turns: new Map(turns.map(([key, row]) => [key.slice(turnKey('').length), row])),
    sandboxes: rows.toSorted(byAge).map((row) => ({ ...row, endpoints: bySandbox.get(row.id) ?? [] })),
    journal,
    host: host[0] ?? null,
    predefined: predefined[0] ?? {},
    unreadable,
  };
}

function byAge<T extends { readonly created: string; readonly id: string }>(a: T, b: T): number {
  return a.created === b.created ? compare(a.id, b.id) : compare(a.created, b.created);
}

const compare = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);

function parseRow(entry: Entry): Readonly<Record<string, unknown>> {
  const row = fields<Record<string, unknown>>(entry.key, JSON.parse(entry.value), ['schema']);
  if (row['schema'] !== SCHEMA)
    throw invalid(`row ${entry.key} has schema ${String(row['schema'])}: this version reads ${SCHEMA}`);
  return row;
}

/** The rows are our own; this finds damage, not malice: the id in the key and the fields that everything hangs off. */
function checked<T extends { readonly id: Id }>(key: string, value: unknown, names: readonly string[]): T {
  const row = fields<T>(key, value, ['id', 'created', ...names]);
  if (!isId(row.id) || !key.endsWith(row.id)) throw invalid(`row ${key} holds another object: ${row.id}`);
  return row;
}

function fields<T extends object>(key: string, value: unknown, names: readonly string[]): T {
  if (typeof value !== 'object' || value === null) throw invalid(`row ${key} is not an object`);
  for (const name of names) if (!(name in value)) throw invalid(`row ${key} has no field ${name}`);
  return value as T;
}

function journalRow(key: string, row: Readonly<Record<string, unknown>>): JournalRow {
  const { type, changes, title } = fields<JournalRow>(key, row, ['type', 'changes', 'title']);
  if ((type !== 'make' && type !== 'unmake') || !Array.isArray(changes)) throw invalid(`row ${key} is not a journal entry`);
  return { type, changes, title };
}
