/**
 * Bundles src/ into dist/*.mjs with esbuild. A bundle starts in a quarter of the time of the same modules loaded one by one
 * (docs/dependencies.md), and the CLI has to start in under 60 ms.
 *
 * - `import()` stays lazy: each becomes a chunk of its own.
 * - A worker is named in the source as `new URL('./worker.ts', import.meta.url)`, which also works unbundled. Every file named
 *   that way becomes an entry, and the URL is rewritten to its bundle. All output lies flat in dist/, so the URL is right from
 *   whichever chunk the code ends up in.
 *
 * Usage: node tools/bundle.ts [output folder]
 */
import {
  chmodSync,
  existsSync,
  globSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { basename, dirname, join, relative, resolve } from 'node:path';
import { build, type OutputFile, type Plugin } from 'esbuild';

const ROOT = resolve(import.meta.dirname, '..');
const SRC = resolve(ROOT, 'src');

/** Bundles with a name that others (bin/, service files) rely on. */
const PROGRAMS: Readonly<Record<string, string>> = { moor: 'src/main/moor.ts', moord: 'src/main/moord.ts' };

/** Stay in node_modules: koffi loads a native file that lies beside it. */
const EXTERNAL = ['koffi'];

/** CommonJS inside an ES module bundle needs a `require`; built-in modules are reached through it. */
const BANNER = `import { createRequire as moorCreateRequire } from 'node:module'; const require = moorCreateRequire(import.meta.url);`;

const MOVE_ATTEMPTS = 5;

const WORKER_URL = /new URL\(\s*'(\.[^']+\.ts)'\s*,\s*import\.meta\.url\s*\)/g;

interface Worker {
  readonly source: string;
  readonly bundle: string;
}

/** `src/store/sqlite/worker.ts` -> `store-sqlite-worker` */
function bundleName(source: string): string {
  return relative(SRC, source).replace(/\.ts$/, '').replaceAll('/', '-');
}

/** The files of src/ that name a worker, and the workers they name. */
function findWorkers(): { readonly users: readonly string[]; readonly workers: readonly Worker[] } {
  const users: string[] = [];
  const workers = new Map<string, Worker>();
  for (const file of globSync('**/*.ts', { cwd: SRC }).sort()) {
    if (file.endsWith('.test.ts')) continue;
    const user = resolve(SRC, file);
    const text = readFileSync(user, 'utf8');
    for (const [, target = ''] of text.matchAll(WORKER_URL)) {
      const source = resolve(dirname(user), target);
      users.push(user);
      workers.set(source, { source, bundle: bundleName(source) });
    }
  }
  return { users: [...new Set(users)], workers: [...workers.values()] };
}

/**
 * What fastify asks for when it is loaded and uses only when it is told to, which it never is: the API speaks plain HTTP on a UNIX
 * socket, and its schemas are checked by src/api/schema.ts. Left out of the bundle they save 9 MB of the daemon's memory.
 */
const UNUSED = /^(?:(?:node:)?(?:http2|https)|@fastify\/(?:ajv-compiler|fast-json-stringify-compiler)|light-my-request)$/;
const withoutUnused: Plugin = {
  name: 'without-unused',
  setup(context) {
    context.onResolve({ filter: UNUSED }, ({ importer, path }) =>
      /[\\/]node_modules[\\/]fastify[\\/]/.test(importer) ? { path, namespace: 'unused' } : undefined,
    );
    context.onLoad({ filter: /.*/, namespace: 'unused' }, () => ({ contents: 'module.exports = {};', loader: 'js' }));
  },
};

function workerUrls(users: readonly string[]): Plugin {
  const escaped = users.map((user) => user.replace(/[.*+?^${}()|[\]\\]/g, String.raw`\$&`));
  return {
    name: 'worker-urls',
    setup(context) {
      if (escaped.length === 0) return;
      context.onLoad({ filter: new RegExp(`^(?:${escaped.join('|')})$`) }, ({ path }) => ({
        loader: 'ts',
        contents: readFileSync(path, 'utf8').replace(
          WORKER_URL,
          (_, target: string) => `new URL('./${bundleName(resolve(dirname(path), target))}.mjs', import.meta.url)`,
        ),
      }));
    },
  };
}

async function main(output: string): Promise<void> {
  const started = performance.now();
  const { users, workers } = findWorkers();
  const entries: Record<string, string> = {};
  for (const [name, source] of Object.entries(PROGRAMS)) {
    if (existsSync(resolve(ROOT, source))) entries[name] = source;
    else console.error(`bundle: skipped ${name}: ${source} does not exist`);
  }
  for (const worker of workers) {
    if (!existsSync(worker.source)) throw new Error(`${relative(ROOT, worker.source)} is named as a worker and does not exist`);
    entries[worker.bundle] = relative(ROOT, worker.source);
  }
  if (Object.keys(entries).length === 0) {
    console.error('bundle: nothing to bundle');
    return;
  }

  const { outputFiles } = await build({
    absWorkingDir: ROOT,
    entryPoints: entries,
    outdir: output,
    outExtension: { '.js': '.mjs' },
    chunkNames: '[name]-[hash]',
    bundle: true,
    splitting: true,
    platform: 'node',
    format: 'esm',
    target: 'node26',
    external: EXTERNAL,
    sourcemap: 'linked',
    banner: { js: BANNER },
    plugins: [workerUrls(users), withoutUnused],
    logLevel: 'warning',
    write: false,
  });
  // A daemon that runs loads its late parts from where it started: what has not changed stays in place.
  const changed = !isSame(output, outputFiles);
  if (changed) replaceFolder(output, outputFiles);
  const what = `${Object.keys(entries).join(', ')} (${outputFiles.filter(({ path }) => path.endsWith('.mjs')).length} files)`;
  console.error(`bundle: ${what} ${changed ? 'made' : 'unchanged'} in ${Math.round(performance.now() - started)} ms`);
}

function isSame(folder: string, files: readonly OutputFile[]): boolean {
  if (!existsSync(folder) || readdirSync(folder).length !== files.length) return false;
  return files.every(({ path, contents }) => existsSync(path) && readFileSync(path).equals(contents));
}

/**
 * The files are written aside first, so that whoever starts moor meanwhile sees the old bundle or the new one, no mixture. Two
 * first starts of bin/moor may bundle at the same time: the later one replaces the other's equal result.
 */
function replaceFolder(output: string, files: readonly OutputFile[]): void {
  const fresh = mkdtempSync(`${output}.`);
  try {
    chmodSync(fresh, 0o755);
    for (const { path, contents } of files) writeFileSync(join(fresh, basename(path)), contents);
    for (let attempt = 1; existsSync(fresh); attempt++) {
      rmSync(output, { recursive: true, force: true });
      try {
        renameSync(fresh, output);
      } catch (error) {
        if (attempt === MOVE_ATTEMPTS) throw error;
      }
    }
  } finally {
    rmSync(fresh, { recursive: true, force: true });
  }
}

try {
  await main(resolve(process.argv[2] ?? resolve(ROOT, 'dist')));
} catch (error) {
  console.error(`bundle: ${error instanceof Error ? error.message : String(error)}`);
  process.exitCode = 1;
}
