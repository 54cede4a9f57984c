/** A host for pages that are executed: a daemon at its usual place, `docker` and `moor` on the path, and an outside world. */
import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { type RunResult, startDaemon, type TestDaemon } from './daemon.ts';
import { CLIS } from './docker.ts';
import { atUsualPlace, normalize, parseGuide, withOutputs } from './guide.ts';

const ROOT = resolve(import.meta.dirname, '../..');
const HOST = 'unix:///run/moor/moor.sock';

/** `world` is a machine outside, which knows the host by its addresses of both families (RFC 5737, RFC 3849) and has no other routes. */
const WORLD = `ip netns add world
ip link add uplink type veth peer name eth0 netns world
ip address add 203.0.113.1/24 dev uplink
ip address add 2001:db8:1::1/64 dev uplink nodad
ip -n world address add 203.0.113.2/24 dev eth0
ip -n world address add 2001:db8:1::2/64 dev eth0 nodad
ip link set uplink up
ip -n world link set eth0 up
ip -n world link set lo up
ip route add default via 203.0.113.2
ip -6 route add default via 2001:db8:1::2
sysctl -qw net.ipv6.conf.uplink.accept_ra=0`;

/** Names of namespaces and the daemon's socket are files below /run; the host's resolver is one that is not there (RFC 5737). */
const SETUP = `set -e
mount -t tmpfs tmpfs /run; mkdir -p /run/moor /run/netns "\${TMPDIR:-/tmp}"
printf 'nameserver 192.0.2.53\\n' >resolv.conf; mount --bind resolv.conf /etc/resolv.conf
${WORLD}`;

export interface GuideHost {
  readonly daemon: TestDaemon;
  /** A shell on the host, in a folder of its own. */
  readonly shell: (script: string) => Promise<RunResult>;
}

export async function guideHost(stack: AsyncDisposableStack): Promise<GuideHost> {
  const daemon = stack.use(await startDaemon({ start: false }));
  const folder = `${daemon.directory}/work`;
  const programs = `${daemon.directory}/programs`;
  for (const made of [folder, programs]) mkdirSync(made);
  symlinkSync(CLIS[0] ?? assert.fail('no docker CLI'), `${programs}/docker`);
  symlinkSync(`${ROOT}/bin/moor`, `${programs}/moor`);
  const prologue = `set -e; PATH='${programs}':$PATH; export DOCKER_HOST=${HOST}; cd '${folder}'\n`;
  const shell = (script: string): Promise<RunResult> => daemon.inside('timeout', '60', 'bash', '-c', `${prologue}${script}`);
  const made = await shell(SETUP);
  assert.equal(made.code, 0, made.stderr);
  await daemon.start('-H', HOST);
  return { daemon, shell };
}

/** A server starts a moment after its container, and whoever types is slower than that: what a page starts is waited for. */
const served = (script: string): string =>
  script.replaceAll(/^(?:docker|moor) run -d (?:\\\n|[^\n])*$/gm, (command) => {
    const name = /--name (\S+)/.exec(command)?.[1];
    if (name === undefined || !/\b(?:httpd|who)\b/.test(command) || /\bsleep\b/.test(command)) return command;
    return `${command}
pin=$(docker inspect -f '{{.NetworkSettings.SandboxKey}}' ${name})
for i in $(seq 200); do [ -z "$(nsenter --net=$pin ss -Hltn 'sport = :80')" ] || break; sleep 0.05; done`;
  });

/** Runs the blocks of a page, all on the host, and compares what they print; GUIDE=write records it anew. @returns how many outputs */
export async function executePage(page: string, { daemon, shell }: GuideHost): Promise<number> {
  const path = resolve(ROOT, page);
  const markdown = readFileSync(path, 'utf8');
  const write = process.env['GUIDE'] === 'write';
  let printed = '';
  const outputs: string[] = [];
  for (const { role, text, line } of parseGuide(markdown)) {
    if (role === 'output') {
      outputs.push(printed);
      if (!write) assert.equal(normalize(text), normalize(printed), `${page}, line ${line}`);
      continue;
    }
    assert.equal(role, 'moor', `${page}, line ${line}: there is one host on this page`);
    const { code, stdout, stderr } = await shell(served(text));
    assert.equal(code, 0, `${page}, line ${line}:\n${text}\n${stdout}${stderr}\n${daemon.log()}`);
    printed = atUsualPlace(stdout, daemon.directory).trimEnd();
  }
  if (write) writeFileSync(path, withOutputs(markdown, outputs));
  return outputs.length;
}
