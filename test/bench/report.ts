/** A report as an aligned table. */
import { CONTESTANTS, isMet, REFERENCES, type Report, type Row, type Summary, TITLES } from './result.ts';

const PEERS = CONTESTANTS.filter((contestant) => contestant !== 'moorline');
const takesPart = (rows: readonly Row[], who: keyof Row['values']): boolean =>
  rows.some(({ values }) => values[who] !== undefined);

/** Three significant digits: more would be noise. */
export function show(value: number): string {
  if (value >= 100) return Math.round(value).toString();
  if (value >= 10) return value.toFixed(1);
  return value.toFixed(2);
}

const spread = ({ samples, median, min, max }: Summary): string =>
  samples === 1 ? show(median) : `${show(median)} (${show(min)}-${show(max)})`;

/** How many times ours a peer takes, by the medians. */
export function ratio(peer: Summary, ours: Summary | undefined): string {
  if (ours === undefined || ours.median === 0) return '';
  const times = peer.median / ours.median;
  return `${times >= 10 ? Math.round(times) : times.toFixed(1)}x`;
}

export const budgetText = ({ budget, rate }: Row): string => (budget === undefined ? '' : `${rate ? '>=' : '<='} ${budget}`);

export function metText(row: Row): string {
  const met = isMet(row);
  return met === undefined ? '' : met ? 'yes' : 'NO';
}

/** The table's lines: median (min-max) of each contestant, and how many times ours a peer takes. */
export function table(rows: readonly Row[]): string[] {
  const references = REFERENCES.filter((who) => takesPart(rows, who));
  const others = [...PEERS.filter((who) => references.length === 0 || takesPart(rows, who)), ...references];
  const head = ['', 'unit', TITLES.moorline, ...others.map((peer) => TITLES[peer]), 'budget', 'met'];
  const cells = rows.map((row) => {
    const ours = row.values.moorline;
    const peers = others.map((peer) => {
      const value = row.values[peer];
      return value === undefined ? '' : `${spread(value)} ${ratio(value, ours)}`.trimEnd();
    });
    return [row.what, row.unit, ours === undefined ? '' : spread(ours), ...peers, budgetText(row), metText(row)];
  });
  const widths = head.map((_, column) => Math.max(...[head, ...cells].map((line) => line[column]?.length ?? 0)));
  const line = (texts: readonly string[]): string =>
    texts
      .map((text, column) => text.padEnd(widths[column] ?? 0))
      .join('  ')
      .trimEnd();
  return [line(head), line(widths.map((width) => '-'.repeat(width))), ...cells.map(line)];
}

/** Everything that a reader needs to judge the numbers, as text. */
export function render({ environment, rows }: Report): string {
  const { date, cpu, kernel, fileSystem, versions, commit, load, seconds, quick } = environment;
  const notes = rows.flatMap(({ what, note }) => (note === undefined ? [] : [`- ${what}: ${note}`]));
  return [
    `${date}, ${cpu}, Linux ${kernel}, data on ${fileSystem}, commit ${commit}${quick ? ', quick run' : ''}`,
    Object.entries(versions)
      .map(([name, version]) => `${name} ${version}`)
      .join(', '),
    `load average ${load[0].toFixed(2)} before, ${load[1].toFixed(2)} after; ${Math.round(seconds)} s in all`,
    'median (min-max), and for a peer how many times ours it takes, or does in the same time',
    '',
    ...table(rows),
    ...(notes.length === 0 ? [] : ['', ...notes]),
    '',
  ].join('\n');
}
