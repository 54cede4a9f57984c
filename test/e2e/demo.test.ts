/** `make demo` shows what it should, and leaves nothing. It checks its own steps; this checks that it took them. */
import assert from 'node:assert/strict';
import { resolve } from 'node:path';
import { it } from 'node:test';
import { run } from '../support/daemon.ts';

const DEMO = resolve(import.meta.dirname, '../../tools/demo.ts');

it('the demonstration', async () => {
  const { code, stdout, stderr } = await run(process.execPath, [DEMO], {
    env: { ...process.env, NO_COLOR: '1' },
  });
  assert.equal(code, 0, stdout + stderr);
  for (const line of [
    /^\$ moor network create --subnet 192\.168\.7\.0\/24 --gateway 192\.168\.7\.1 my_net2$/m,
    /^\$ moor exec two -- ping .* 192\.168\.7\.10\n.* 0% packet loss/m,
    /^\$ moor exec one -- ping .* 192\.168\.7\.1\n.* 0% packet loss/m,
    /^\$ moor exec three -- ping .* 192\.168\.7\.10\n.* 100% packet loss/m,
    /^ {2}hello 203\.0\.113\.1, this is the outside world$/m,
    /^ {2}│ {2}├─ veth[0-9a-f]{7} ═══ \[ one: eth0 {2}192\.168\.7\.10\/24/m,
    /^ {2}table inet moor \{$/m,
    /^# the private host: no link, .* is left$/m,
    /^# the machine: the same links, .* no process is left$/m,
  ]) {
    assert.match(stdout, line);
  }
});

it('ends without a word when nobody reads it any more', async () => {
  const line = `"$0" "$1" | head -n 2 >/dev/null; echo "\${PIPESTATUS[0]}"`;
  const { stdout, stderr } = await run('bash', ['-c', line, process.execPath, DEMO]);
  assert.deepEqual([stdout, stderr], ['130\n', '']);
});
