/** Runs nft commands: in process through libnftables, or by the `nft` program when the library is missing. */
import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { MoorError } from '../base/errors.ts';
import { errnoOf } from '../nft/transaction.ts';
import { parseTable } from '../nft/parse.ts';
import { renderRef } from '../nft/render.ts';
import type { NftTableRef, NftTableState } from '../nft/types.ts';
import type { Fd } from '../sys/fd.ts';
import { type NftResult, openNft } from '../sys/libnftables.ts';
import { withNetns } from '../sys/netns.ts';
import { temporaryFolder } from '../sys/temporary.ts';

export interface NftRunner extends Disposable {
  /** One transaction, or one listing. @param json the listing is JSON, not text (nft -a -s) */
  readonly run: (commands: string, json?: boolean) => NftResult;
  /** '' = in process; else why the program is used. */
  readonly reason: string;
}

/** @param forceProgram use the program although the library is there: for tests */
export function openNftRunner(forceProgram = false): NftRunner {
  const { nft, reason } = forceProgram ? { nft: null, reason: 'asked for' } : openNft();
  if (nft !== null) return { run: nft.run, reason: '', [Symbol.dispose]: () => nft[Symbol.dispose]() };
  return { run: runProgram, reason, [Symbol.dispose]() {} };
}

/**
 * The same way, inside a namespace. A context of the library keeps the socket that it was made with; the program is started there.
 * @param host the runner of the thread's own namespace
 */
export function nftInside(netns: Fd, host: NftRunner): NftRunner {
  if (host.reason === '') return withNetns(netns, openNftRunner);
  return { run: (...args) => withNetns(netns, () => host.run(...args)), reason: host.reason, [Symbol.dispose]() {} };
}

/** nft(8) reads a file: its standard input would be a socket, which it cannot read when it is started by Node. */
function runProgram(commands: string, json = false): NftResult {
  using folder = temporaryFolder('moor-nft-');
  const file = join(folder.path, 'commands.nft');
  writeFileSync(file, `${commands}\n`, { mode: 0o600 });
  const { status, stdout, stderr, error } = spawnSync('nft', [...(json ? ['-j'] : ['-a', '-s']), '-f', file], {
    encoding: 'utf8',
    env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', LC_ALL: 'C' },
    maxBuffer: 1 << 30,
  });
  if (error) throw new MoorError('unsupported', `Cannot run nft: ${error.message} (Debian packages libnftables1 or nftables)`);
  return { rc: status ?? 1, output: stdout, error: stderr };
}

/** @returns null when there is no such table */
export function listTable(nft: NftRunner, table: NftTableRef): NftTableState | null {
  const text = list(nft, `list table ${renderRef(table)}`);
  return text === null ? null : parseTable(text);
}

/**
 * A listing, as JSON unless it is to be text.
 * @returns null when what is to be listed is not there
 * @throws what nft says
 */
export function list(nft: NftRunner, command: string, json = true): string | null {
  const { rc, output, error } = nft.run(command, json);
  if (rc === 0) return output;
  const message = /Error: (?:Could not process rule: )?(.*)/.exec(error)?.[1] ?? error.trim();
  const [errno, code] = errnoOf(message);
  if (code === 'ENOENT') return null;
  throw new MoorError(code === 'EPERM' ? 'forbidden' : 'internal', `nft ${command}: ${message}`, {
    ...(errno === 0 ? {} : { kernel: { operation: `nft ${command}`, errno, code } }),
  });
}
