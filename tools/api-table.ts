/**
 * The calls of Docker's API as a table for docs/guides/docker-cli.md, from the routes themselves.
 *
 * Usage: node tools/api-table.ts            prints it
 *        node tools/api-table.ts --write    puts it between the marks in the guide
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { DOCKER_ROUTES } from '../src/docker/routes.ts';
import { UNSUPPORTED } from '../src/docker/unsupported.ts';

export const GUIDE = resolve(import.meta.dirname, '../docs/guides/docker-cli.md');
const START = '<!-- api-table: start (node tools/api-table.ts --write) -->';
const END = '<!-- api-table: end -->';

/** `/images/:name+/json` -> `/images/{name}/json`, as Docker's documentation writes paths. */
const shown = (path: string): string => path.replace(/:(\w+)\+?/g, '{$1}');

function table(rows: readonly (readonly string[])[]): string {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  const text = (row: readonly string[]): string =>
    `| ${row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join(' | ')} |`;
  const rule = `| ${widths.map((width) => '-'.repeat(width)).join(' | ')} |`;
  const [head = [], ...body] = rows;
  return [text(head), rule, ...body.map(text)].join('\n');
}

/** Markdown. Calls of the same path stand together, in the order of the path. */
export function apiTable(): string {
  const built = DOCKER_ROUTES.filter(({ path }) => path !== '/networks/').map(({ method, path, since = '1.24', summary }) => ({
    method,
    path: shown(path),
    since,
    state: summary,
  }));
  const missing = UNSUPPORTED.flatMap(({ what, paths }) =>
    paths.map((entry) => {
      const [method = '', path = ''] = entry.split(' ');
      return { method, path: shown(path), since: '', state: `501: ${what}` };
    }),
  );
  const inOrder = (rows: typeof missing): readonly string[][] =>
    rows
      .toSorted((a, b) => (a.path === b.path ? (a.method < b.method ? -1 : 1) : a.path < b.path ? -1 : 1))
      .map(({ method, path, since, state }) => [method, `\`${path}\``, since, state]);
  return table([['method', 'path', 'since', 'what it does'], ...inOrder(built), ...inOrder(missing)]);
}

/** @param guide its text. @returns the same with the table of today. @throws when it has no marks */
export function withTable(guide: string): string {
  const [start, end] = [guide.indexOf(START), guide.indexOf(END)];
  if (start < 0 || end < start) throw new Error(`the guide has no marks:\n${START}\n${END}`);
  return `${guide.slice(0, start + START.length)}\n\n${apiTable()}\n\n${guide.slice(end)}`;
}

if (import.meta.main) {
  if (process.argv.includes('--write')) writeFileSync(GUIDE, withTable(readFileSync(GUIDE, 'utf8')));
  else console.log(apiTable());
}
