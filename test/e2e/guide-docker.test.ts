// test-timeout: 120 s
/** docs/guides/docker-cli.md, executed with the stock Docker CLI and docker-compose. GUIDE=write records the outputs anew. */
import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { it } from 'node:test';
import { startDaemon } from '../support/daemon.ts';
import { CLIS, NO_PYTHON, PEERS, PYTHON } from '../support/docker.ts';
import { normalize, parseGuide, withOutputs } from '../support/guide.ts';

const GUIDE = resolve(import.meta.dirname, '../../docs/guides/docker-cli.md');
const HOST = 'unix:///run/moor/moor.sock';

it('docs/guides/docker-cli.md does what it says', { skip: NO_PYTHON }, async () => {
  await using daemon = await startDaemon({ start: false });
  const folder = `${daemon.directory}/work`;
  const programs = `${daemon.directory}/programs`;
  mkdirSync(folder);
  mkdirSync(programs);
  symlinkSync(CLIS[0] ?? assert.fail('no docker CLI'), `${programs}/docker`);
  const python = Object.entries(PYTHON).map(([name, value]) => `${name}=${value}`);
  const compose = `#!/bin/sh\nexec env ${python.join(' ')} /usr/bin/python3 ${PEERS}/usr/bin/docker-compose "$@"\n`;
  writeFileSync(`${programs}/docker-compose`, compose, { mode: 0o755 });
  // The usual place, in a /run of its own.
  const made = await daemon.inside('sh', '-c', 'mount -t tmpfs tmpfs /run && mkdir -p /run/moor "${TMPDIR:-/tmp}"');
  assert.equal(made.code, 0, made.stderr);
  await daemon.start('-H', HOST);

  const markdown = readFileSync(GUIDE, 'utf8');
  let printed = '';
  const outputs: string[] = [];
  for (const { role, text, line } of parseGuide(markdown)) {
    if (role === 'output') {
      outputs.push(printed);
      if (process.env['GUIDE'] !== 'write') assert.equal(normalize(text), normalize(printed), `line ${line}`);
      continue;
    }
    assert.equal(role, 'moor', `line ${line}: there is one host on this page`);
    // What the first block exports holds for all.
    const script = `set -e; PATH='${programs}':$PATH; export DOCKER_HOST=${HOST}; cd '${folder}'\n${text}`;
    const { code, stdout, stderr } = await daemon.inside('timeout', '60', 'bash', '-c', script);
    assert.equal(code, 0, `line ${line}:\n${text}\n${stdout}${stderr}\n${daemon.log()}`);
    printed = stdout.trimEnd();
  }
  assert.ok(outputs.length > 8, 'the guide has its blocks');
  if (process.env['GUIDE'] === 'write') writeFileSync(GUIDE, withOutputs(markdown, outputs));
});
