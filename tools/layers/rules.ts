/** The rules, as a pure function from what was read to the violations in words. */
import { isBuiltin } from 'node:module';
import { posix } from 'node:path';
import type { Import, SourceFile } from './read.ts';
import { COMPOSITION_ROOT, type Layer, PURE_BUILTINS } from './table.ts';

/** Folders and what they may import, as the design page says it. */
export type Design = ReadonlyMap<string, readonly string[] | 'all'>;

export interface Tree {
  readonly files: readonly SourceFile[];
  readonly layers: readonly Layer[];
  readonly design: Design;
}

/** Every violation in words, in order of file. Empty: all is well. */
export function violations(tree: Tree): readonly string[] {
  if (tree.files.length === 0) return ['Read no file: the check would pass whatever the code says'];
  const table = new Map(tree.layers.map((layer) => [layer.folder, layer]));
  return [
    ...tableFaults(tree),
    ...tree.files.flatMap((file) => fileFaults(file, table)),
    ...cycles(fileGraph(tree.files)).map((cycle) => `Files import each other in a circle: ${cycle.join(' -> ')}`),
  ];
}

/** `## 3.` of the design page: the table rows `| \`folder\` | imports | ... |`. Throws when there is none. */
export function readDesign(markdown: string): Design {
  const section = /^## 3\..*?(?=^## |$(?![\s\S]))/ms.exec(markdown)?.[0] ?? '';
  const design = new Map<string, readonly string[] | 'all'>();
  for (const [, folders = '', imports = ''] of section.matchAll(/^\| *(`[^|]+?) *\|([^|]*)\|/gm)) {
    const names = [...imports.matchAll(/`([a-z]+)`/g)].map(([, name = '']) => name);
    for (const [, folder = ''] of folders.matchAll(/`([a-z]+)(?:\/\*)?`/g)) {
      design.set(folder, imports.trim() === 'everything' ? 'all' : names);
    }
  }
  if (design.size === 0) throw new Error('Cannot read the layers of the design: section 3 has no table of folders');
  return design;
}

function isTest(path: string): boolean {
  return path.endsWith('.test.ts');
}

/** What several test files share: generators and builders, beside the source they are for. */
function isTestHelper(path: string): boolean {
  return /(?:^|[/.])(?:arbitrary|testing)\.ts$/.test(path);
}

/** Runs with whatever real or fake parts it takes, and ships with none of them. */
function isForTests(path: string): boolean {
  return isTest(path) || isTestHelper(path);
}

function tableFaults({ layers, design }: Tree): readonly string[] {
  const faults: string[] = [];
  const known = new Set(layers.map((layer) => layer.folder));
  for (const { folder, imports } of layers) {
    const drawn = design.get(folder);
    if (drawn === undefined) faults.push(`The table names ${folder}/, which is not in the design`);
    else if (sorted(drawn) !== sorted(imports)) {
      faults.push(`The table and the design differ on what ${folder}/ may import: ${show(imports)} against ${show(drawn)}`);
    }
    for (const name of imports === 'all' ? [] : imports) {
      if (!known.has(name)) faults.push(`The table lets ${folder}/ import ${name}/, which it does not know`);
    }
  }
  for (const folder of design.keys())
    if (!known.has(folder)) faults.push(`The design names ${folder}/, which is not in the table`);
  const graph = new Map(
    layers.map(({ folder, imports }) => [folder, imports === 'all' ? [...known].filter((n) => n !== folder) : imports]),
  );
  faults.push(...cycles(graph).map((cycle) => `Layers import each other in a circle: ${cycle.join(' -> ')}`));
  return faults;
}

function sorted(imports: readonly string[] | 'all'): string {
  return imports === 'all' ? imports : imports.toSorted().join(' ');
}

function show(imports: readonly string[] | 'all'): string {
  return imports === 'all' ? 'everything' : imports.join(' ') || 'nothing';
}

function fileFaults(file: SourceFile, table: ReadonlyMap<string, Layer>): readonly string[] {
  const folder = folderOf(file.path);
  const layer = folder === null ? undefined : table.get(folder);
  if (!layer) return [`src/${file.path}: ${folder === null ? 'lies in no layer' : `no layer is called ${folder}/`}`];
  return file.imports.flatMap((found) => {
    const fault = importFault(file, layer, found);
    return fault === null ? [] : [`src/${file.path}:${found.line}: ${fault}`];
  });
}

function importFault(file: SourceFile, layer: Layer, { specifier, form }: Import): string | null {
  if (specifier === null) return `imports a computed path (${form}), which no check can follow`;
  if (!specifier.startsWith('.')) return packageFault(file, layer, specifier);
  const target = resolveImport(file.path, specifier);
  if (target.startsWith('../')) {
    return mayLeaveSource(file, layer, target) ? null : `imports ${specifier}, which lies outside src/`;
  }
  if (isTest(target)) return `imports ${specifier}: nothing may depend on a test`;
  if (isTestHelper(target) && !isForTests(file.path)) return `imports ${specifier}, which is there for tests only`;
  const to = folderOf(target);
  if (to === COMPOSITION_ROOT && layer.folder !== COMPOSITION_ROOT) {
    return `imports ${specifier}: nobody imports ${COMPOSITION_ROOT}/, which joins everything`;
  }
  if (isForTests(file.path)) return null;
  if (to === layer.folder) {
    const foreign = layer.siblings === true && isForeignMember(file.path, target);
    return foreign ? `imports ${specifier}: ${layer.folder}/${memberOf(target)} stands alone (${layer.why})` : null;
  }
  if (layer.imports === 'all' || (to !== null && layer.imports.includes(to))) return null;
  return `imports ${specifier}: ${layer.folder}/ may not import ${to ?? target}/ (${layer.why})`;
}

/** A member may use itself and the shared files beside it; those use no member. */
function isForeignMember(from: string, target: string): boolean {
  const theirs = memberOf(target);
  return theirs !== null && theirs !== memberOf(from);
}

/** `../package.json` for the version in main/, and the helpers in test/ for tests. */
function mayLeaveSource(file: SourceFile, layer: Layer, target: string): boolean {
  return (
    (target === '../package.json' && layer.folder === COMPOSITION_ROOT) ||
    (target.startsWith('../test/') && isForTests(file.path))
  );
}

function packageFault(file: SourceFile, layer: Layer, specifier: string): string | null {
  if (isBuiltin(specifier)) {
    if (!specifier.startsWith('node:')) return `imports ${specifier}: write node:${specifier}`;
    if (!layer.pure || isForTests(file.path)) return null;
    const allowed = PURE_BUILTINS.some((name) => specifier === name || specifier.startsWith(`${name}/`));
    return allowed ? null : `imports ${specifier}: ${layer.folder}/ does no I/O (${layer.why})`;
  }
  const name = specifier.split('/', specifier.startsWith('@') ? 2 : 1).join('/');
  if (layer.packages.includes(name)) return null;
  // The one gate to the operating system holds for tests too; for the rest they may use what they like.
  if (isForTests(file.path) && name !== 'koffi') return null;
  return `imports ${specifier}: ${layer.folder}/ may not use the package ${name} (${layer.why})`;
}

function folderOf(path: string): string | null {
  const slash = path.indexOf('/');
  return slash < 0 ? null : path.slice(0, slash);
}

/** `drivers/bridge/plan.ts` -> `bridge`; null for a file directly in the folder. */
function memberOf(path: string): string | null {
  const parts = path.split('/');
  return parts.length > 2 ? (parts[1] ?? null) : null;
}

function resolveImport(from: string, specifier: string): string {
  return posix.normalize(posix.join(posix.dirname(from), specifier));
}

/** Workers run apart, so naming one is no edge in the graph of modules. */
function fileGraph(files: readonly SourceFile[]): ReadonlyMap<string, readonly string[]> {
  return new Map(
    files.map(({ path, imports }) => [
      path,
      imports.flatMap(({ specifier, form }) =>
        form !== 'worker' && specifier?.startsWith('.') ? [resolveImport(path, specifier)] : [],
      ),
    ]),
  );
}

/** One cycle for each knot of the graph, each written from a node back to the same node. */
export function cycles(graph: ReadonlyMap<string, readonly string[]>): readonly (readonly string[])[] {
  const found: string[][] = [];
  const state = new Map<string, 'open' | 'done'>();
  const path: string[] = [];
  const enter = (node: string): void => {
    state.set(node, 'open');
    path.push(node);
    for (const next of graph.get(node) ?? []) {
      if (state.get(next) === 'open') found.push([...path.slice(path.indexOf(next)), next]);
      else if (!state.has(next)) enter(next);
    }
    path.pop();
    state.set(node, 'done');
  };
  for (const node of graph.keys()) if (!state.has(node)) enter(node);
  return found;
}
