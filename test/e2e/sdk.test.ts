// test-timeout: 120 s
/** The clients that programs use: Docker's Python SDK from Debian, and dockerode. Each is a program of its own beside this file. */
import assert from 'node:assert/strict';
import { resolve } from 'node:path';
import { after, before, test } from 'node:test';
import { run, type TestDaemon } from '../support/daemon.ts';
import { daemonWithBusybox, NO_PYTHON, PYTHON } from '../support/docker.ts';
import { faults } from '../support/truth.ts';

let daemon: TestDaemon;
before(async () => {
  daemon = await daemonWithBusybox();
});
after(() => daemon[Symbol.asyncDispose]());

for (const [what, command, program, skip] of [
  ['python3-docker', '/usr/bin/python3', 'sdk-python.py', NO_PYTHON],
  ['dockerode', process.execPath, 'sdk-dockerode.mjs', false],
] as const) {
  test(`${what}: create networks, run, connect, exec, logs, remove`, { skip }, async () => {
    const env = { ...process.env, ...PYTHON, DOCKER_HOST: daemon.host };
    const { code, stdout, stderr } = await run(command, [resolve(import.meta.dirname, program)], { env, timeoutMs: 60_000 });
    assert.equal(code, 0, `${stdout}${stderr}\n${daemon.log()}`);
    assert.match(stdout, /: done\n$/);
    assert.deepEqual(await faults(daemon), []);
  });
}
