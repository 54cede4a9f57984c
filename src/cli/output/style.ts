/** The few colours that are used, and nothing when the output takes none. */
import type { Output } from '../ports.ts';

/** SGR codes, ECMA-48 section 8.3.117. */
const CODES = { bold: 1, dim: 2, red: 31, green: 32, yellow: 33, cyan: 36 } as const;

export const paint = (output: Output, style: keyof typeof CODES, text: string): string =>
  output.colour ? `\u001b[${CODES[style]}m${text}\u001b[0m` : text;
