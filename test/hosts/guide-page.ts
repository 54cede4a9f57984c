/**
 * A page about several hosts, executed: `sh h1` and `sh h2` on that host, `sh both` on one after the other; a block that begins with `moord`
 * starts the daemon with these flags, for a running one in its place. GUIDE=write records the outputs anew.
 */
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { atUsualPlace, normalize, withOutputs } from '../support/guide.ts';
import type { Host } from './lab.ts';

const ROOT = resolve(import.meta.dirname, '../..');
const BLOCK = /^```(?<kind>\S.*)\n(?<text>[\s\S]*?)^```$/gm;
const FOLDER = '/etc/moor';
const EXEC_ROOT = '/run/moor';

export interface PageOptions {
  /** What shells find beside `moor`: folders for PATH, variables. */
  readonly environment?: (host: Host) => string;
  /** After a daemon's first start. */
  readonly started?: (host: Host) => Promise<void>;
}

/** @param page below docs/guides */
export async function performPage(page: string, hosts: readonly Host[], options: PageOptions = {}): Promise<void> {
  const path = resolve(ROOT, 'docs/guides', page);
  const [h1, h2] = hosts;
  assert.ok(h1 && h2);
  const hostsOf: Readonly<Record<string, readonly Host[]>> = { 'sh h1': [h1], 'sh h2': [h2], 'sh both': [h1, h2] };
  const markdown = readFileSync(path, 'utf8');
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
    const at = hostsOf[kind] ?? assert.fail(`a block with the role "${kind}" would not be run`);
    printed = '';
    for (const host of at) printed += await perform(host, text, { ...options, running });
    running ||= text.startsWith('moord ');
  }
  assert.ok(outputs.length > 5, 'the guide has its blocks');
  if (write) writeFileSync(path, withOutputs(markdown, outputs));
}

/** @returns what it printed */
async function perform(
  host: Host,
  text: string,
  { environment, started, running }: PageOptions & { readonly running: boolean },
): Promise<string> {
  const { daemon } = host;
  const script = text.replaceAll(FOLDER, daemon.directory).replaceAll(EXEC_ROOT, `${daemon.directory}/exec`);
  if (script.startsWith('moord ')) {
    if (running) await daemon.stop();
    await daemon.start(...script.trim().split(/\s+/).slice(1));
    if (!running) await started?.(host);
    return '';
  }
  const prologue = `set -e; PATH='${ROOT}/bin':$PATH; ${environment?.(host) ?? ''} cd '${daemon.directory}'\n`;
  const { code, stdout, stderr } = await daemon.inside('timeout', '60', 'bash', '-c', `${prologue}${script}`);
  assert.equal(code, 0, `${text}\n${stdout}${stderr}\n${daemon.log()}`);
  return atUsualPlace(stdout, daemon.directory).replaceAll(daemon.directory, FOLDER);
}
