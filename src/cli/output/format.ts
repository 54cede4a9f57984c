/** `--format` of lists and of inspect: `table`, `table TEMPLATE`, `json`, `TEMPLATE`, as in Docker's CLI. */
import { invalid, MoorError } from '../../base/errors.ts';
import { compileTemplate } from '../template/template.ts';
import { GoStruct, inOrder, toJson, type Method } from '../template/value.ts';
import { renderTable } from './table.ts';
import { printable } from './width.ts';

export interface RowFormat {
  /** What `table` alone means. */
  readonly table: string;
  readonly headings: Readonly<Record<string, string>>;
}

export type Row = Readonly<Record<string, string | Method>>;

const same = (value: unknown): unknown => value;

/** Functions that would spoil a heading leave it as it is. */
const HEADER_FUNCTIONS = { json: same, title: same, lower: same, upper: same, truncate: same, split: same, join: same };

/** The heading of `{{.Label "com.example.tier"}}` is the last part of the name. */
const labelHeading: Method = (name) => String(name).split('.').at(-1)?.replaceAll(/[-_]/g, ' ');

/** A shell passes `\t` as two characters. */
const unescaped = (template: string): string => template.trim().replaceAll(String.raw`\t`, '\t').replaceAll(String.raw`\n`, '\n');

/** @param format from the command line; '' and `table` are the standard table @throws invalid for a bad template */
export function formatRows(rows: readonly Row[], format: string, spec: RowFormat): string {
  if (format === 'json') return rows.map((row) => `${toJson(row)}\n`).join('');
  const table = format === '' || format === 'table' ? spec.table : format;
  const isTable = /^table\s/.test(table);
  const source = unescaped(isTable ? table.slice('table'.length) : table);
  const template = compileTemplate(source);
  const lines = rows.map((row) => rendered(template, printableRow(row)));
  if (!isTable) return lines.map((line) => `${line}\n`).join('');
  const heading = compileTemplate(source, { functions: HEADER_FUNCTIONS })({ ...spec.headings, Label: labelHeading });
  return renderTable([heading, ...lines].flatMap((line) => line.split('\n').map((part) => part.split('\t'))));
}

/** A column that does not exist is a mistake, and no empty one. @throws invalid with the names that there are */
function rendered(template: (value: unknown) => string, row: Row): string {
  try {
    return template(new GoStruct(new Map(Object.entries(row)), inOrder(row)));
  } catch (error) {
    if (!(error instanceof MoorError) || !error.message.includes('no entry for key')) throw error;
    throw invalid(`${error.message} (there are ${Object.keys(row).join(', ')})`);
  }
}

const printableRow = (row: Row): Row =>
  Object.fromEntries(Object.entries(row).map(([key, value]) => [key, typeof value === 'string' ? printable(value) : value]));

/** `inspect`: without a format indented JSON of all; with one, a line each. @param typed what templates see of a value */
export function formatInspect(
  values: readonly unknown[],
  format: string | undefined,
  typed: (value: unknown) => unknown,
): string {
  if (format === undefined || format === '') return `${JSON.stringify(values, null, 4)}\n`;
  if (format === 'json') return `${JSON.stringify(values)}\n`;
  const template = compileTemplate(format);
  return values.map((value) => `${template(typed(value))}\n`).join('');
}
