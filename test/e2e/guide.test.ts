/**
 * docs/guides/one-host.md, executed: one host with a daemon, one where the same is done by hand, and both say the same.
 * GUIDE=write records the outputs anew.
 */
// test-timeout: 180 s
import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { it } from 'node:test';
import { type RunResult, startDaemon, type TestDaemon } from '../support/daemon.ts';
import { atUsualPlace, type Block, normalize, parseGuide, withOutputs } from '../support/guide.ts';

const ROOT = resolve(import.meta.dirname, '../..');
const GUIDE = resolve(ROOT, 'docs/guides/one-host.md');

/** A shell in a host's namespaces, in a folder of its own. */
type Shell = (script: string) => Promise<RunResult>;

const shellOf =
  (host: TestDaemon, folder: string): Shell =>
  (script) =>
    host.inside(
      'timeout',
      '60',
      'bash',
      '-c',
      `set -e; PATH='${dirname(resolve(ROOT, 'bin/moor'))}':$PATH; cd '${folder}'\n${script}`,
    );

/** A cable to a namespace that plays the outside world and knows only the host's address. */
const WORLD = `ip netns add world
ip link add uplink type veth peer name eth0 netns world
ip address add 203.0.113.1/24 dev uplink
ip -n world address add 203.0.113.2/24 dev eth0
ip link set uplink up
ip -n world link set eth0 up
ip route add default via 203.0.113.2
sysctl -qw net.ipv6.conf.uplink.disable_ipv6=1`;

/** Plans show what the host's file says. RFC 5737: an address for documentation. */
const RESOLVER = `printf 'nameserver 192.0.2.53\\n' >resolv.conf; mount --bind resolv.conf /etc/resolv.conf`;

async function host(cleanup: AsyncDisposableStack): Promise<{ readonly daemon: TestDaemon; readonly shell: Shell }> {
  const daemon = cleanup.use(await startDaemon({ start: false }));
  const folder = `${daemon.directory}/work`;
  mkdirSync(folder);
  const shell = shellOf(daemon, folder);
  // Names of namespaces are files in a folder that all hosts of this machine share.
  const made = await shell(`mkdir -p /run/netns; mount -t tmpfs tmpfs /run/netns\n${RESOLVER}\n${WORLD}`);
  assert.equal(made.code, 0, made.stderr);
  return { daemon, shell };
}

it('docs/guides/one-host.md does what it says', async () => {
  await using cleanup = new AsyncDisposableStack();
  const markdown = readFileSync(GUIDE, 'utf8');
  const blocks = parseGuide(markdown);
  const moor = await host(cleanup);
  const hand = await host(cleanup);
  await moor.daemon.start();

  const run = async (shell: Shell, block: Block): Promise<string> => {
    const { code, stdout, stderr } = await shell(block.text);
    assert.equal(code, 0, `line ${block.line}:\n${block.text}\n${stdout}${stderr}`);
    return atUsualPlace(stdout, moor.daemon.directory).trimEnd();
  };
  const equal = (block: Block, actual: string, expected: string): void =>
    assert.equal(normalize(actual), normalize(expected), `line ${block.line}:\n${block.text}`);

  let printed = '';
  const outputs: string[] = [];
  for (const block of blocks) {
    switch (block.role) {
      case 'moor':
        printed = await run(moor.shell, block);
        break;
      case 'hand':
        await run(hand.shell, block);
        break;
      case 'hand same':
        equal(block, await run(hand.shell, block), printed);
        break;
      case 'both':
        printed = await run(moor.shell, block);
        equal(block, await run(hand.shell, block), printed);
        break;
      case 'output':
        outputs.push(printed);
        // "Save the listing as moor.nft"
        if (printed.startsWith('table inet moor')) writeFileSync(`${hand.daemon.directory}/work/moor.nft`, printed);
        if (process.env['GUIDE'] !== 'write') equal(block, block.text, printed);
    }
  }
  assert.ok(blocks.length > 30 && outputs.length > 5, 'the guide has its blocks');
  if (process.env['GUIDE'] === 'write') writeFileSync(GUIDE, withOutputs(markdown, outputs));
});
