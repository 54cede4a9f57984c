import assert from 'node:assert/strict';
import { type SpawnSyncReturns, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { test } from 'node:test';

const ROOT = resolve(import.meta.dirname, '..');

/** A checkout with our launchers, bundler and packages, and other sources. */
class Checkout implements Disposable {
  readonly root = mkdtempSync(join(tmpdir(), 'checkout-'));

  constructor(sources: Readonly<Record<string, string>>) {
    cpSync(join(ROOT, 'bin'), join(this.root, 'bin'), { recursive: true });
    mkdirSync(join(this.root, 'tools'));
    cpSync(join(ROOT, 'tools/bundle.ts'), join(this.root, 'tools/bundle.ts'));
    cpSync(join(ROOT, 'package.json'), join(this.root, 'package.json'));
    symlinkSync(join(ROOT, 'node_modules'), join(this.root, 'node_modules'));
    for (const [path, text] of Object.entries(sources)) {
      mkdirSync(dirname(join(this.root, path)), { recursive: true });
      writeFileSync(join(this.root, path), text);
    }
  }

  bundle(): SpawnSyncReturns<string> {
    return spawnSync(process.execPath, [join(this.root, 'tools/bundle.ts')], { encoding: 'utf8' });
  }

  /** With a path that has no Node on it. */
  run(program: string, ...args: readonly string[]): SpawnSyncReturns<string> {
    return spawnSync(program, args, { encoding: 'utf8', cwd: '/', env: { PATH: this.bareBin() } });
  }

  output(): Readonly<Record<string, string>> {
    const dist = join(this.root, 'dist');
    return Object.fromEntries(readdirSync(dist).map((file) => [file, readFileSync(join(dist, file), 'utf8')]));
  }

  [Symbol.dispose](): void {
    rmSync(this.root, { recursive: true, force: true });
  }

  private bareBin(): string {
    const folder = join(this.root, 'bare');
    mkdirSync(folder, { recursive: true });
    for (const name of ['sh', 'readlink'])
      if (!readdirSync(folder).includes(name)) symlinkSync(`/bin/${name}`, join(folder, name));
    return folder;
  }
}

const PROGRAM = {
  'src/main/moor.ts': `import { symbols } from 'pino';
    import { hello } from '../kernel/hello.ts';
    if (process.argv[2] === 'deep') { const { go } = await import('../kernel/deep.ts'); console.log(await go()); }
    else console.log(JSON.stringify([hello, typeof symbols, process.version, process.argv.slice(2)]));`,
  'src/kernel/hello.ts': `export const hello = 'hello';`,
  'src/kernel/deep.ts': `import { Worker } from 'node:worker_threads'; import { once } from 'node:events'; import pino from 'pino';
    export async function go() {
      pino({ enabled: false }).info('CommonJS works inside the bundle');
      const [answer] = await once(new Worker(new URL('./worker.ts', import.meta.url)), 'message');
      return answer;
    }`,
  'src/kernel/worker.ts': `import { parentPort } from 'node:worker_threads'; import { hello } from './hello.ts';
    parentPort.postMessage(hello + ' from the worker');`,
};

test('a checkout without a bundle starts by making one, whatever Node the shell has', () => {
  using checkout = new Checkout(PROGRAM);
  const { status, stdout, stderr } = checkout.run(join(checkout.root, 'bin/moor'), 'a b', '');
  assert.equal(status, 0, stderr);
  assert.deepEqual(JSON.parse(stdout), ['hello', 'object', process.version, ['a b', '']]);
  assert.match(stderr, /skipped moord: src\/main\/moord\.ts does not exist/);
  assert.equal(checkout.run(join(checkout.root, 'bin/moor')).stderr, '', 'the second start bundles nothing');
});

test('the launcher finds its checkout through symbolic links', () => {
  using checkout = new Checkout(PROGRAM);
  symlinkSync('bin/moor', join(checkout.root, 'first'));
  symlinkSync(join(checkout.root, 'first'), join(checkout.root, 'second'));
  assert.equal(checkout.run(join(checkout.root, 'second')).status, 0);
});

test('the launcher says what is missing', () => {
  using checkout = new Checkout(PROGRAM);
  rmSync(join(checkout.root, 'node_modules'));
  const { status, stderr } = checkout.run(join(checkout.root, 'bin/moord'));
  assert.equal(status, 127);
  assert.match(stderr, /^moord: Cannot start: .*\/node_modules\/\.bin\/node does not exist \(run 'npm ci' in /);
});

test('pid and signals are those of the program itself', async () => {
  using checkout = new Checkout({ 'src/main/moord.ts': `console.log(process.pid); setInterval(() => {}, 1000);` });
  checkout.bundle();
  const child = spawn(join(checkout.root, 'bin/moord'), { stdio: ['ignore', 'pipe', 'inherit'] });
  const [line] = (await once(child.stdout, 'data')) as [Buffer];
  child.kill('SIGTERM');
  assert.deepEqual(await once(child, 'exit'), [null, 'SIGTERM']);
  assert.equal(Number(line.toString()), child.pid);
});

test('what is imported late is loaded late, and workers start from the bundle', () => {
  using checkout = new Checkout(PROGRAM);
  assert.equal(checkout.bundle().status, 0);
  const { 'moor.mjs': entry = '' } = checkout.output();
  assert.ok(!entry.includes('CommonJS works inside'), 'the late part is in a file of its own');
  rmSync(join(checkout.root, 'src'), { recursive: true });
  assert.equal(checkout.run(join(checkout.root, 'bin/moor'), 'deep').stdout, 'hello from the worker\n');
});

test('the same source gives the same bundle, and an old one leaves nothing behind', () => {
  using checkout = new Checkout(PROGRAM);
  checkout.bundle();
  const first = checkout.output();
  writeFileSync(join(checkout.root, 'dist/old.mjs'), '');
  assert.match(checkout.bundle().stderr, /made in/);
  assert.deepEqual(checkout.output(), first);
  assert.match(checkout.bundle().stderr, /unchanged in/);
});

test('a worker that does not exist is an error, and the old bundle stays', () => {
  using checkout = new Checkout(PROGRAM);
  checkout.bundle();
  const first = checkout.output();
  rmSync(join(checkout.root, 'src/kernel/worker.ts'));
  const { status, stderr } = checkout.bundle();
  assert.notEqual(status, 0);
  assert.match(stderr, /src\/kernel\/worker\.ts is named as a worker and does not exist/);
  assert.deepEqual(checkout.output(), first);
});
