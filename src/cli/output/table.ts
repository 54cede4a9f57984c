/** Aligned columns, to the byte as Docker's CLI prints them (Go's tabwriter with minimum width 10, padding 3). */
import { displayWidth } from './width.ts';

const MIN_WIDTH = 10;
const PADDING = 3;

/** @returns one line a row, each with a line feed; the last cell of a row is not padded */
export function renderTable(rows: readonly (readonly string[])[]): string {
  const widths: number[] = [];
  for (const row of rows) {
    for (const [column, cell] of row.slice(0, -1).entries()) {
      widths[column] = Math.max(widths[column] ?? MIN_WIDTH, displayWidth(cell) + PADDING);
    }
  }
  return rows
    .map((row) => {
      const cells = row.map((cell, column) =>
        column === row.length - 1 ? cell : cell + ' '.repeat((widths[column] ?? 0) - displayWidth(cell)),
      );
      return `${cells.join('')}\n`;
    })
    .join('');
}
