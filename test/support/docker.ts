/** A private daemon with an image, and the stock Docker CLI that has to succeed, or to fail. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync } from 'node:fs';
import { resolve } from 'node:path';
import { dockerCli, type DaemonOptions, run, startDaemon, type TestDaemon } from './daemon.ts';
import { busyboxArchive } from './images.ts';
import { until } from './snapshot.ts';

const ROOT = resolve(import.meta.dirname, '../..');

/** Where tools/peers.sh unpacks what is not installed. */
export const PEERS = `${ROOT}/.cache/peers`;

/** For `skip`: why docker-compose and Docker's Python SDK cannot be run here; false when they can. */
export const NO_PYTHON = existsSync(`${PEERS}/usr/bin/docker-compose`) ? false : 'there is no docker-compose (run make peers)';

/** Debian's 20.10 (API 1.41), where the peers are. */
const OLD = `${PEERS}/usr/bin/docker`;

/** Every stock CLI of this machine, newest first. */
export const CLIS: readonly string[] = [...new Set([dockerCli(), existsSync(OLD) ? OLD : null])].filter((path) => path !== null);

/** Environment in which Debian's python3 finds docker-compose and the SDK. The machine's own Python settings play no part. */
export const PYTHON = {
  PYTHONPATH: `${PEERS}/usr/lib/python3/dist-packages:${PEERS}/usr/lib/python3.11`,
  PYTHONDONTWRITEBYTECODE: '1',
} as const;

/** A daemon of its own that has `busybox:latest`. */
export async function daemonWithBusybox(options: DaemonOptions = {}): Promise<TestDaemon> {
  await using cleanup = new AsyncDisposableStack();
  const daemon = cleanup.use(await startDaemon(options));
  await loadBusybox(daemon);
  cleanup.move();
  return daemon;
}

export async function loadBusybox(daemon: TestDaemon): Promise<void> {
  const archive = `${daemon.directory}/busybox.tar`;
  busyboxArchive(archive);
  const { code, stdout, stderr } = await daemon.docker('load', '-i', archive);
  assert.equal(code, 0, stderr);
  assert.equal(stdout, 'Loaded image: busybox:latest\n');
}

export interface Docker {
  /** What it prints when it succeeds, without the white space around. */
  readonly ok: (...args: readonly string[]) => Promise<string>;
  /** What it complains when it fails, with its exit code in front: `125 docker: Error ...` */
  readonly fails: (...args: readonly string[]) => Promise<string>;
}

/** @param cli default: the newest of this machine */
export function dockerOf(daemon: TestDaemon, cli = CLIS[0] ?? 'docker'): Docker {
  const call = (args: readonly string[]): ReturnType<typeof run> => run(cli, ['-H', daemon.host, ...args]);
  return {
    ok: async (...args) => {
      const { code, stdout, stderr } = await call(args);
      assert.equal(code, 0, `docker ${args.join(' ')}: ${stdout}${stderr}\n${daemon.log()}`);
      return stdout.trim();
    },
    fails: async (...args) => {
      const { code, stdout, stderr } = await call(args);
      assert.notEqual(code, 0, `docker ${args.join(' ')}: ${stdout}`);
      return `${code} ${stderr.trim()}`;
    },
  };
}

export interface Terminal extends AsyncDisposable {
  /** Types a line, then waits for text that matches among what has come since. @returns that text */
  readonly type: (line: string, expected: RegExp) => Promise<string>;
  /** Waits for text without typing. */
  readonly see: (expected: RegExp) => Promise<string>;
  /** Waits for the command's end. @returns its exit code */
  readonly end: () => Promise<number>;
}

/**
 * A command on a pseudoterminal of 33 rows and 101 columns, by util-linux' `script`.
 * @param command for the shell
 */
export function terminal(command: string): Terminal {
  const child = spawn(
    'script',
    ['--quiet', '--return', '--flush', '--command', `stty rows 33 cols 101; ${command}`, '/dev/null'],
    {
      stdio: ['pipe', 'pipe', 'inherit'],
      env: { ...process.env, TERM: 'xterm', SHELL: '/bin/sh' },
    },
  );
  const exit = once(child, 'exit') as Promise<[number | null]>;
  let text = '';
  let read = 0;
  child.stdout.setEncoding('utf8').on('data', (part: string) => (text += part));
  child.stdin.on('error', () => {}); // EPIPE when it has ended: `see` tells
  const see = async (expected: RegExp): Promise<string> => {
    const found = await until(() => expected.test(text.slice(read)), 30_000);
    const seen = text.slice(read);
    assert.ok(found, `${command}: ${expected} was not seen in ${JSON.stringify(seen)}`);
    read = text.length;
    return seen;
  };
  return {
    see,
    type: (line, expected) => {
      child.stdin.write(`${line}\n`);
      return see(expected);
    },
    end: async () => (await exit)[0] ?? -1,
    [Symbol.asyncDispose]: async () => {
      child.kill('SIGKILL');
      await exit;
    },
  };
}

/** Cgroups of these containers, in whatever hierarchy. Others on this machine are other daemons'. */
export function cgroupsOf(ids: readonly string[]): readonly string[] {
  const all = readdirSync('/sys/fs/cgroup', { recursive: true, encoding: 'utf8' });
  return all.filter((path) => ids.includes(/[0-9a-f]{64}/.exec(path)?.[0] ?? ''));
}
