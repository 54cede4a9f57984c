/** Reads the real imports of a source tree with a real parser: what a regular expression overlooks would go unchecked. */
import { globSync, readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { parseSync } from 'oxc-parser';

export interface Import {
  /** As written: `../base/ip.ts`, `koffi`, `node:fs`. `null`: computed at run time, so no tool can know it. */
  readonly specifier: string | null;
  /** `worker`: `new URL('./x.ts', import.meta.url)`, a module that runs apart. */
  readonly form: 'static' | 'dynamic' | 'type' | 'export' | 'require' | 'worker';
  readonly line: number;
}

export interface SourceFile {
  /** Relative to the root that was read, with forward slashes: `drivers/bridge/plan.ts`. */
  readonly path: string;
  readonly imports: readonly Import[];
}

/** The fields of the ESTree nodes that are of interest here. */
interface Node {
  readonly type?: unknown;
  readonly start?: unknown;
  readonly [field: string]: unknown;
}

/** Every `.ts` file below `root`, in order of path. Throws when a file does not parse. */
export function readTree(root: string): readonly SourceFile[] {
  return globSync('**/*.{ts,mts,cts,tsx,js,mjs,cjs}', { cwd: root })
    .sort()
    .map((path) => ({ path, imports: readImports(path, readFileSync(resolve(root, path), 'utf8')) }));
}

/** The imports of one file in order of appearance. Throws when the text does not parse. */
export function readImports(path: string, text: string): readonly Import[] {
  const { program, errors } = parseSync(path, text);
  const [error] = errors;
  if (error) throw new Error(`Cannot parse ${path}: ${error.message}`);
  const found: { readonly specifier: string | null; readonly form: Import['form']; readonly start: number }[] = [];
  walk(program, (node) => {
    const form = formOf(node);
    if (form) found.push({ ...form, start: typeof node.start === 'number' ? node.start : 0 });
  });
  return found.map(({ specifier, form, start }) => ({ specifier, form, line: text.slice(0, start).split('\n').length }));
}

function formOf(node: Node): Pick<Import, 'specifier' | 'form'> | null {
  switch (node.type) {
    case 'ImportDeclaration':
      return { specifier: literal(node['source']), form: node['importKind'] === 'type' ? 'type' : 'static' };
    case 'ExportAllDeclaration':
    case 'ExportNamedDeclaration':
      return node['source'] ? { specifier: literal(node['source']), form: 'export' } : null;
    case 'ImportExpression':
      return { specifier: literal(node['source']), form: 'dynamic' };
    case 'TSImportType':
      return { specifier: literal(node['source']), form: 'type' };
    case 'TSExternalModuleReference':
      return { specifier: literal(node['expression']), form: 'require' };
    case 'CallExpression':
      return isName(node['callee'], 'require') ? { specifier: literal(first(node['arguments'])), form: 'require' } : null;
    case 'NewExpression':
      return workerOf(node);
    default:
      return null;
  }
}

/** Only modules count: `new URL('http://...')` and data files beside a module are no imports. */
function workerOf(node: Node): Pick<Import, 'specifier' | 'form'> | null {
  if (!isName(node['callee'], 'URL') || !Array.isArray(node['arguments']) || node['arguments'].length !== 2) return null;
  const specifier = literal(first(node['arguments']));
  return specifier !== null && /^\.{1,2}\/.*\.[cm]?[jt]s$/.test(specifier) ? { specifier, form: 'worker' } : null;
}

function walk(value: unknown, visit: (node: Node) => void): void {
  if (Array.isArray(value)) {
    for (const item of value) walk(item, visit);
  } else if (isNode(value)) {
    if (typeof value.type === 'string') visit(value);
    for (const field of Object.values(value)) if (typeof field === 'object') walk(field, visit);
  }
}

function isNode(value: unknown): value is Node {
  return typeof value === 'object' && value !== null;
}

function isName(value: unknown, name: string): boolean {
  return isNode(value) && value.type === 'Identifier' && value['name'] === name;
}

function first(list: unknown): unknown {
  return Array.isArray(list) ? list[0] : undefined;
}

function literal(value: unknown): string | null {
  if (!isNode(value)) return null;
  if (value.type === 'Literal' && typeof value['value'] === 'string') return value['value'];
  if (value.type === 'TemplateLiteral' && Array.isArray(value['quasis']) && value['quasis'].length === 1) {
    const quasi: unknown = value['quasis'][0];
    const text = isNode(quasi) ? quasi['value'] : null;
    return isNode(text) && typeof text['cooked'] === 'string' ? text['cooked'] : null;
  }
  return null;
}
