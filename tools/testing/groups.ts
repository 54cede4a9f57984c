/** Which test file belongs to which group. Every `*.test.ts` of the repository is in exactly one. */
import { globSync, readFileSync } from 'node:fs';
import { resolve } from 'node:path';

/** `unit`: no root, no kernel state. `kernel`: root, in namespaces of its own. */
export type Group = 'unit' | 'kernel';

export interface TestFile {
  /** Relative to the root of the repository. */
  readonly path: string;
  readonly group: Group;
  /** Longest run before the file counts as hung. */
  readonly timeoutSeconds: number;
}

const DEFAULT_TIMEOUT_SECONDS: Readonly<Record<Group, number>> = { unit: 30, kernel: 120 };

/** `// test-timeout: 300 s` on a line of its own in the first 2,000 characters. */
const OWN_TIMEOUT = /^\/\/ test-timeout: (\d+) s$/m;

/** All test files below `root`, in order of path. */
export function findTests(root: string): readonly TestFile[] {
  return globSync('{src,tools,test}/**/*.test.ts', { cwd: root })
    .sort()
    .map((path) => {
      const group = groupOf(path);
      return { path, group, timeoutSeconds: timeoutOf(readFileSync(resolve(root, path), 'utf8'), group) };
    });
}

export function groupOf(path: string): Group {
  return path.startsWith('test/') || path.endsWith('.netns.test.ts') ? 'kernel' : 'unit';
}

export function timeoutOf(text: string, group: Group): number {
  const own = OWN_TIMEOUT.exec(text.slice(0, 2000))?.[1];
  return own === undefined ? DEFAULT_TIMEOUT_SECONDS[group] : Number(own);
}
