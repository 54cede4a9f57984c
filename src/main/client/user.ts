/** `--user` of `moor run` and `moor exec`: the host's users, since the command runs on the host's files. */
import { readFileSync } from 'node:fs';
import { invalid } from '../../base/errors.ts';

export interface User {
  readonly uid: number;
  readonly gid: number;
  /** Its groups are those of the account; null: an unknown number, or a group was named, then it has no others. */
  readonly name: string | null;
  readonly home: string;
}

/** @param text `USER[:GROUP]`, names or numbers @throws invalid for a name that does not exist */
export function findUser(text: string, files: { readonly passwd: string; readonly group: string } = readFiles()): User {
  const [user = '', group] = text.split(':', 2);
  const account = entries(files.passwd).find(([name, , uid]) => name === user || uid === user);
  const numeric = /^\d+$/.test(user);
  if (!account && !numeric) throw invalid(`unable to find user ${user}: no matching entries in passwd file`);
  const uid = account ? Number(account[2]) : Number(user);
  const gid = group === undefined ? Number(account?.[3] ?? 0) : findGroup(group, files.group);
  return { uid, gid, name: group === undefined ? (account?.[0] ?? null) : null, home: account?.[5] ?? '/' };
}

function findGroup(group: string, file: string): number {
  const entry = entries(file).find(([name, , gid]) => name === group || gid === group);
  if (entry) return Number(entry[2]);
  if (/^\d+$/.test(group)) return Number(group);
  throw invalid(`unable to find group ${group}: no matching entries in group file`);
}

const entries = (file: string): readonly (readonly string[])[] => file.split('\n').map((line) => line.split(':'));

const readFiles = (): { readonly passwd: string; readonly group: string } => ({
  passwd: readFileSync('/etc/passwd', 'utf8'),
  group: readFileSync('/etc/group', 'utf8'),
});

/** A command line that becomes `line` as this user. setpriv(1) of util-linux execs in place and gives 126 and 127 as shells do. */
export function asUser(user: User, line: readonly [string, ...string[]]): readonly [string, ...string[]] {
  const groups = user.name === null ? '--clear-groups' : '--init-groups';
  return ['setpriv', `--reuid=${user.name ?? user.uid}`, `--regid=${user.gid}`, groups, '--', ...line];
}
