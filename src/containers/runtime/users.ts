/** `--user` and `--group-add`, by the root's own /etc/passwd and /etc/group. */
import { readFileSync } from 'node:fs';
import { invalid } from '../../base/errors.ts';
import { fcntlH } from '../../sys/constants.ts';
import type { Fd } from '../../sys/fd.ts';
import { descriptorPath, openInsideIfThere } from '../../sys/inside.ts';
import type { OciUser } from './oci.ts';

interface UserEntry {
  readonly name: string;
  readonly uid: number;
  readonly gid: number;
}

interface GroupEntry {
  readonly name: string;
  readonly gid: number;
  readonly members: readonly string[];
}

/** The kernel's own limit for ids that Docker uses. */
const LARGEST_ID = 2 ** 31 - 1;
/** bytes; a file of an image is not trusted to be small */
const FILE_LIMIT = 16 * 1024 * 1024;

/** Reads both files of a root. A root without them has no names, and numbers still work. */
export function readAccounts(root: Fd): { readonly passwd: string; readonly group: string } {
  return { passwd: readInside(root, '/etc/passwd'), group: readInside(root, '/etc/group') };
}

/**
 * @param wanted `name`, `uid`, each with `:group` or `:gid` or nothing; '' is root
 * @param added further groups, by name or number
 * @throws invalid, in Docker's words
 */
export function lookUpUser(
  wanted: string,
  added: readonly string[],
  accounts: { readonly passwd: string; readonly group: string },
): OciUser {
  const at = wanted.indexOf(':');
  const userWord = at < 0 ? wanted : wanted.slice(0, at);
  const groupWord = at < 0 ? '' : wanted.slice(at + 1);
  const users = parsePasswd(accounts.passwd);
  const groups = parseGroup(accounts.group);

  const uid = numeric(userWord || '0');
  const entry = users.find(({ name }) => name === userWord) ?? users.find((user) => user.uid === uid);
  if (!entry && uid === null) throw invalid(`unable to find user ${userWord}: no matching entries in passwd file`);
  const primary = groupWord === '' ? (entry?.gid ?? 0) : groupId(groupWord, groups);
  const memberships =
    groupWord === '' && entry ? groups.filter(({ members }) => members.includes(entry.name)).map(({ gid }) => gid) : [];
  const additionalGids = [...new Set([...memberships, ...added.map((word) => groupId(word, groups))])];
  return { uid: inRange(entry?.uid ?? uid ?? 0), gid: inRange(primary), additionalGids: additionalGids.map(inRange) };
}

function groupId(word: string, groups: readonly GroupEntry[]): number {
  const gid = groups.find(({ name }) => name === word)?.gid ?? numeric(word);
  if (gid === null) throw invalid(`unable to find group ${word}: no matching entries in group file`);
  return gid;
}

function inRange(id: number): number {
  if (id > LARGEST_ID) throw invalid(`uids and gids must be in range 0-${LARGEST_ID}`);
  return id;
}

const numeric = (word: string): number | null => (/^\d{1,15}$/.test(word) ? Number(word) : null);

const lines = (text: string): readonly (readonly string[])[] =>
  text
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('#'))
    .map((line) => line.trim().split(':'));

/** passwd(5): name:password:uid:gid:... */
const parsePasswd = (text: string): readonly UserEntry[] =>
  lines(text).flatMap(([name = '', , uid = '', gid = '']) => {
    const [user, group] = [numeric(uid), numeric(gid)];
    return user === null || group === null ? [] : [{ name, uid: user, gid: group }];
  });

/** group(5): name:password:gid:member,member */
const parseGroup = (text: string): readonly GroupEntry[] =>
  lines(text).flatMap(([name = '', , gid = '', members = '']) => {
    const group = numeric(gid);
    return group === null ? [] : [{ name, gid: group, members: members.split(',').filter(Boolean) }];
  });

function readInside(root: Fd, path: string): string {
  // O_NONBLOCK: a FIFO in its place must not hang us.
  using file = openInsideIfThere(root, path, fcntlH.O_RDONLY | fcntlH.O_NONBLOCK);
  if (file === null) return '';
  return readFileSync(descriptorPath(file), 'utf8').slice(0, FILE_LIMIT);
}
