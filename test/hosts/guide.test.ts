// test-timeout: 180 s
/**
 * docs/guides/many-hosts.md, executed: `sh h1` and `sh h2` on that host, `sh both` on one after the other; a block that begins with `moord`
 * starts the daemon with these flags, for a running one in its place. GUIDE=write records the outputs anew.
 */
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { test } from 'node:test';
import { NO_ETCD } from '../support/etcd.ts';
import { normalize, withOutputs } from '../support/guide.ts';
import { createHosts, type Host, startStore } from './lab.ts';

const ROOT = resolve(import.meta.dirname, '../..');
const PAGE = resolve(ROOT, 'docs/guides/many-hosts.md');
const BLOCK = /^```(?<kind>\S.*)\n(?<text>[\s\S]*?)^```$/gm;
const FOLDER = '/etc/moor';

/** @returns what it printed */
async function perform({ daemon }: Host, text: string, running: boolean): Promise<string> {
  const script = text.replaceAll(FOLDER, daemon.directory);
  if (script.startsWith('moord ')) {
    if (running) await daemon.stop();
    await daemon.start(...script.trim().split(/\s+/).slice(1));
    return '';
  }
  const prologue = `set -e; PATH='${ROOT}/bin':$PATH; cd '${daemon.directory}'\n`;
  const { code, stdout, stderr } = await daemon.inside('timeout', '60', 'bash', '-c', `${prologue}${script}`);
  assert.equal(code, 0, `${text}\n${stdout}${stderr}\n${daemon.log()}`);
  return stdout.replaceAll(daemon.directory, FOLDER);
}

test('docs/guides/many-hosts.md does what it says', { skip: NO_ETCD }, async () => {
  await using world = await createHosts(2, () => []);
  await using store = await startStore();
  assert.ok(store);
  const [h1, h2] = world.hosts;
  assert.ok(h1 && h2);
  const hostsOf: Readonly<Record<string, readonly Host[]>> = { 'sh h1': [h1], 'sh h2': [h2], 'sh both': [h1, h2] };
  const markdown = readFileSync(PAGE, 'utf8');
  const write = process.env['GUIDE'] === 'write';
  const outputs: string[] = [];
  let printed = '';
  let running = false;
  for (const { groups } of markdown.matchAll(BLOCK)) {
    const { kind = '', text = '' } = groups ?? {};
    if (kind === 'text output') {
      outputs.push(printed.trimEnd());
      if (!write) assert.equal(normalize(printed), normalize(text));
      continue;
    }
    const hosts = hostsOf[kind] ?? assert.fail(`a block with the role "${kind}" would not be run`);
    printed = '';
    for (const host of hosts) printed += await perform(host, text, running);
    running ||= text.startsWith('moord ');
  }
  assert.ok(outputs.length > 5, 'the guide has its blocks');
  if (write) writeFileSync(PAGE, withOutputs(markdown, outputs));
});
