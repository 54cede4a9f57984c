/** Rows of the store: `container/<id>` and `volume/<name>`, JSON with a schema version. */
import { type ErrorData, errorData, invalid } from '../../base/errors.ts';
import { isId } from '../../base/ids.ts';
import type { Store, Write } from '../../contracts/store.ts';
import type { Container, Volume } from '../../model/container.ts';

/** Raised when the meaning of a row changes; a newer daemon's rows are refused rather than misread. */
const SCHEMA = 1;

/** What the next daemon needs to know of something that this one was killed in the middle of. */
interface Unfinished {
  /** Its volumes are being filled; a crash then takes it back, as nobody was told of it. */
  readonly making: boolean;
  /** Of one that is being removed: its anonymous volumes go with it. */
  readonly withVolumes: boolean;
}

export interface ContainerRow extends Unfinished {
  readonly container: Container;
}

export const putContainer = (container: Container, { making = false, withVolumes = false }: Partial<Unfinished> = {}): Write => ({
  type: 'put',
  key: `container/${container.id}`,
  value: JSON.stringify({
    schema: SCHEMA,
    container,
    ...(making ? { making } : {}),
    ...(withVolumes ? { withVolumes } : {}),
  }),
});

export const deleteContainer = ({ id }: Container): Write => ({ type: 'delete', key: `container/${id}` });

export const putVolume = (volume: Volume): Write => ({
  type: 'put',
  key: `volume/${volume.name}`,
  value: JSON.stringify({ schema: SCHEMA, volume }),
});

export const deleteVolume = (name: string): Write => ({ type: 'delete', key: `volume/${name}` });

export interface Loaded {
  readonly containers: readonly ContainerRow[];
  readonly volumes: readonly Volume[];
  readonly unreadable: readonly { readonly key: string; readonly error: ErrorData }[];
}

/** Reads all rows. One that cannot be read is listed and left alone. */
export async function loadRows(store: Store): Promise<Loaded> {
  const unreadable: { key: string; error: ErrorData }[] = [];
  const read = async <T>(prefix: string, parse: (key: string, row: Readonly<Record<string, unknown>>) => T): Promise<T[]> => {
    const { entries } = await store.list(prefix);
    return entries.flatMap(({ key, value }) => {
      try {
        return [parse(key, rowOf(key, JSON.parse(value)))];
      } catch (error) {
        unreadable.push({ key, error: errorData(error) });
        return [];
      }
    });
  };
  const containers = await read('container/', containerRow);
  const volumes = await read('volume/', (key, row) => fields<Volume>(key, row['volume'], ['name', 'mountpoint', 'labels']));
  return { containers: containers.toSorted((a, b) => (a.container.created < b.container.created ? -1 : 1)), volumes, unreadable };
}

function rowOf(key: string, value: unknown): Readonly<Record<string, unknown>> {
  const row = fields<Record<string, unknown>>(key, value, ['schema']);
  if (row['schema'] !== SCHEMA) throw invalid(`row ${key} has schema ${String(row['schema'])}: this version reads ${SCHEMA}`);
  return row;
}

/** The rows are our own; this finds damage, not malice. */
function containerRow(key: string, row: Readonly<Record<string, unknown>>): ContainerRow {
  const names = ['id', 'name', 'imageId', 'config', 'hostConfig', 'networks', 'mounts', 'state'];
  const container = fields<Container>(key, row['container'], names);
  if (!isId(container.id) || !key.endsWith(container.id)) throw invalid(`row ${key} holds another container: ${container.id}`);
  return { container, making: row['making'] === true, withVolumes: row['withVolumes'] === true };
}

function fields<T extends object>(key: string, value: unknown, names: readonly string[]): T {
  if (typeof value !== 'object' || value === null) throw invalid(`row ${key} is not an object`);
  for (const name of names) if (!(name in value)) throw invalid(`row ${key} has no field ${name}`);
  return value as T;
}
