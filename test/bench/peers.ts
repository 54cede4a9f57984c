/** Where Debian's programs lie (tools/peers.sh), and how one is run. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { resolve } from 'node:path';

export const ROOT = resolve(import.meta.dirname, '../..');
const PEERS = `${ROOT}/.cache/peers`;

export const PROGRAMS = {
  docker: `${PEERS}/usr/bin/docker`,
  dockerd: `${PEERS}/usr/sbin/dockerd`,
  containerd: `${PEERS}/usr/bin/containerd`,
  runc: `${PEERS}/usr/sbin/runc`,
  cniBridge: `${PEERS}/usr/lib/cni/bridge`,
  netavark: `${PEERS}/usr/lib/podman/netavark`,
  socat: `${PEERS}/usr/bin/socat`,
  tincd: `${PEERS}/usr/sbin/tincd`,
  nebula: `${PEERS}/usr/bin/nebula`,
  nebulaCert: `${PEERS}/usr/bin/nebula-cert`,
  wireguardGo: `${PEERS}/usr/bin/wireguard-go`,
  wg: `${PEERS}/usr/bin/wg`,
} as const;

export const CNI_PATH = `${PEERS}/usr/lib/cni`;

export const PEER_ENV: NodeJS.ProcessEnv = {
  ...process.env,
  PATH: `${PEERS}/usr/bin:${PEERS}/usr/sbin:${process.env['PATH'] ?? ''}:/usr/sbin:/sbin`,
  LD_LIBRARY_PATH: `${PEERS}/usr/lib/x86_64-linux-gnu:${PEERS}/lib/x86_64-linux-gnu`,
};

/** @throws Error when the peers have not been unpacked */
export function checkPeers(): void {
  const missing = Object.values(PROGRAMS).find((path) => !existsSync(path));
  if (missing !== undefined) throw new Error(`Cannot measure beside peers: ${missing} does not exist (run make peers)`);
}

const firstNumber = (text: string): string => /\d+\.\d+[^\s,]*/.exec(text)?.[0] ?? text.trim();

export function peerVersions(): Readonly<Record<string, string>> {
  const ask = (path: string, ...args: readonly string[]): string =>
    firstNumber(execFileSync(path, args, { env: PEER_ENV, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] }));
  return {
    'Docker Engine': ask(PROGRAMS.dockerd, '--version'),
    containerd: ask(PROGRAMS.containerd, '--version'),
    runc: ask(PROGRAMS.runc, '--version'),
    'CNI plugins': cniVersion(),
    netavark: ask(PROGRAMS.netavark, '--version'),
    socat: /version (\d\S*)/.exec(execFileSync(PROGRAMS.socat, ['-V'], { env: PEER_ENV, encoding: 'utf8' }))?.[1] ?? 'of Debian',
    tinc: ask(PROGRAMS.tincd, '--version'),
    Nebula: ask(PROGRAMS.nebula, '-version'),
    'wireguard-go': ask(PROGRAMS.wireguardGo, '--version'),
  };
}

/** The plugin tells its version only on stderr, when it is started without a command. */
function cniVersion(): string {
  const text = execFileSync('sh', ['-c', `'${PROGRAMS.cniBridge}' 2>&1 || true`], { encoding: 'utf8' });
  return /plugin (v?[\d.]+)/.exec(text)?.[1] ?? 'of Debian';
}

/** Runs a program as its container engine would. @returns milliseconds @throws Error with its output unless it exits with 0 */
export async function timedRun(
  path: string,
  args: readonly string[],
  { input, env = {} }: { readonly input: string; readonly env?: NodeJS.ProcessEnv },
): Promise<number> {
  const started = performance.now();
  const child = spawn(path, args, { env: { ...PEER_ENV, ...env }, stdio: ['pipe', 'pipe', 'pipe'] });
  const output = collect(child);
  child.stdin.end(input);
  const [code] = (await once(child, 'close')) as [number | null];
  const ms = performance.now() - started;
  if (code !== 0) throw new Error(`${path} ${args.join(' ')} exited with ${String(code)}: ${output().trim()}`);
  return ms;
}

/** Gathers what a child prints. */
export function collect(child: ChildProcess): () => string {
  let text = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream?.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
  }
  return () => text;
}
