/** Guides that are executed: fenced blocks with a role after the language, and how outputs of two runs are compared. */

/**
 * `moor`: run on the host with a daemon. `hand`: run on the one without; `hand same`: and print what the block before printed.
 * `both`: on either, with equal outputs. `output`: what the block before prints.
 */
export type Role = 'moor' | 'hand' | 'hand same' | 'both' | 'output';

export interface Block {
  readonly role: Role;
  readonly text: string;
  /** Of the opening fence, from 1. */
  readonly line: number;
}

const ROLES: ReadonlySet<string> = new Set<Role>(['moor', 'hand', 'hand same', 'both', 'output']);

/** @throws for a fenced block without a role: it would not be checked */
export function parseGuide(markdown: string): readonly Block[] {
  const blocks: Block[] = [];
  const lines = markdown.split('\n');
  for (let i = 0; i < lines.length; i++) {
    const fence = /^```(\S*)\s*(.*)$/.exec(lines[i] ?? '');
    if (!fence) continue;
    const end = lines.indexOf('```', i + 1);
    const role = fence[2] ?? '';
    if (end < 0) throw new Error(`line ${i + 1}: the block has no end`);
    if (!ROLES.has(role)) throw new Error(`line ${i + 1}: a block with the role "${role}" would not be run`);
    blocks.push({ role: role as Role, text: lines.slice(i + 1, end).join('\n'), line: i + 1 });
    i = end;
  }
  return blocks;
}

/** The guide with its output blocks replaced, in order. */
export function withOutputs(markdown: string, outputs: readonly string[]): string {
  let next = 0;
  return markdown.replaceAll(/^```text output\n[\s\S]*?^```$/gm, () => `\`\`\`text output\n${outputs[next++] ?? ''}\n\`\`\``);
}

/** Paths as a daemon at its usual place has them. */
export const atUsualPlace = (text: string, directory: string): string =>
  text.replaceAll(`${directory}/exec`, '/run/moor').replaceAll(`${directory}/data`, '/var/lib/moor');

/**
 * What may differ from run to run gets a number in the order it first appears: ids, names made of ids, MAC addresses, interface
 * indexes, process names made up. Columns are not compared by width.
 */
export function normalize(text: string): string {
  const seen = new Map<string, string>();
  const numbered = (kind: string, value: string): string => {
    const known = seen.get(value) ?? `<${kind}${seen.size + 1}>`;
    seen.set(value, known);
    return known;
  };
  return text
    .replaceAll(/\b[0-9a-f]{64}\b/g, (id) => numbered('id', id.slice(0, 12)))
    .replaceAll(/\b[0-9a-f]{12}\b/g, (id) => numbered('id', id))
    .replaceAll(/\bveth\w+/g, (name) => numbered('veth', name))
    .replaceAll(/\b(?!02:42:)(?:[0-9a-f]{2}:){5}[0-9a-f]{2}\b/g, (mac) => numbered('mac', mac))
    .replaceAll(/@if\d+/g, '@if')
    .replaceAll(/# \d+ bytes/g, '# bytes')
    .replaceAll(/time \d+ms/g, 'time')
    .replaceAll(/[ \t]+/g, ' ')
    .replaceAll(/ $/gm, '')
    .trim();
}
