/** skopeo, the way to a registry: what it is asked, and what its errors mean in Docker's words. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { invalid, MoorError, notFound } from '../../base/errors.ts';
import type { RegistryAuth } from '../../contracts/containers.ts';
import { fillsDisk } from './files.ts';
import { run } from './process.ts';
import { familiarName, familiarText, fullName, type Reference } from './reference.ts';

export interface Access {
  readonly skopeo: string;
  readonly reference: Reference;
  /** Folder for the credentials and skopeo's temporary files; the caller removes it. */
  readonly workspace: string;
  readonly auth?: RegistryAuth;
  /** May it be plain HTTP, or TLS that cannot be verified? */
  readonly insecure: boolean;
}

/** One registry, one image. */
export class Skopeo {
  readonly #access: Access;
  readonly #signal: AbortSignal;
  readonly #flags: readonly string[];

  private constructor(access: Access, authFile: string, signal: AbortSignal) {
    this.#access = access;
    this.#signal = signal;
    this.#flags = ['--authfile', authFile];
  }

  static async open(access: Access, signal: AbortSignal): Promise<Skopeo> {
    const authFile = join(access.workspace, 'auth.json');
    // Always one of ours, so that the daemon's own user's credentials are never used for somebody else.
    await fillsDisk(() => writeFile(authFile, JSON.stringify(authDocument(access)), { flag: 'wx', mode: 0o600 }));
    return new Skopeo(access, authFile, signal);
  }

  /** The manifest's bytes. @param digest null: of the reference itself */
  manifest(digest: string | null): Promise<Buffer> {
    return this.#ask('inspect', ['--raw', ...this.#tls(), this.#source(digest)]);
  }

  /** The configuration's bytes. */
  config(digest: string): Promise<Buffer> {
    return this.#ask('inspect', ['--config', '--raw', ...this.#tls(), this.#source(digest)]);
  }

  /** Everything into a new folder, each blob under its digest in hex. */
  async copy(digest: string, folder: string): Promise<void> {
    await this.#ask('copy', ['--src-tls-verify=' + String(!this.#access.insecure), this.#source(digest), `dir:${folder}`]);
  }

  /** Some blobs only, into a new folder below `folder`. */
  async layers(digest: string, blobs: readonly string[], folder: string): Promise<void> {
    await this.#ask('layers', [...this.#tls(), this.#source(digest), ...blobs], folder);
  }

  #tls(): readonly string[] {
    return [`--tls-verify=${!this.#access.insecure}`];
  }

  #source(digest: string | null): string {
    const { reference } = this.#access;
    const id = digest ?? reference.digest;
    return `docker://${fullName(reference)}${id === null ? `:${reference.tag ?? 'latest'}` : `@${id}`}`;
  }

  async #ask(command: 'inspect' | 'copy' | 'layers', args: readonly string[], cwd = this.#access.workspace): Promise<Buffer> {
    const { skopeo, workspace } = this.#access;
    const [first = '', ...rest] = args;
    const all = ['--insecure-policy', '--tmpdir', workspace, command, ...this.#authFlags(command), first, ...rest];
    const { code, stdout, stderr } = await run(skopeo, { args: all, env: { TMPDIR: workspace }, cwd, signal: this.#signal });
    if (code !== 0) throw pullError(stderr, this.#access.reference);
    return stdout;
  }

  #authFlags(command: 'inspect' | 'copy' | 'layers'): readonly string[] {
    return command === 'copy' ? ['--src-authfile', this.#flags[1] ?? ''] : this.#flags;
  }
}

/** containers-auth.json(5) */
function authDocument({ reference, auth }: Access): object {
  if (!auth) return { auths: {} };
  const { username, password, identityToken } = auth;
  const basic = Buffer.from(`${username}:${password}`).toString('base64');
  return { auths: { [reference.domain]: identityToken ? { auth: basic, identitytoken: identityToken } : { auth: basic } } };
}

/** What skopeo's last line says, and what Docker says then. */
const MEANINGS: readonly (readonly [pattern: RegExp, error: (reference: Reference, why: string) => MoorError])[] = [
  [
    /manifest unknown/,
    (reference) => notFound(`manifest for ${familiarText(reference)} not found: manifest unknown: manifest unknown`),
  ],
  [
    /name unknown/,
    (reference, why) =>
      notFound(`repository ${familiarName(reference)} not found: ${/name unknown.*$/.exec(why)?.[0] ?? 'name unknown'}`),
  ],
  [
    /unauthorized|denied|authentication required|no basic auth credentials|invalid username\/password/,
    (reference) =>
      notFound(
        `pull access denied for ${familiarName(reference)}, repository does not exist or may require 'docker login': denied: requested access to the resource is denied`,
      ),
  ],
  [
    /Digest did not match/,
    (_, why) => invalid(`filesystem layer verification failed for digest ${/expected (sha256:\w+)/.exec(why)?.[1] ?? why}`),
  ],
  [
    /does not match expected/,
    (_, why) => invalid(`image config verification failed for digest ${/expected (sha256:\w+)/.exec(why)?.[1] ?? why}`),
  ],
  [/reading .*blob.*404 \(Not Found\)/, () => notFound('unknown blob')],
  [/no space left on device/, () => new MoorError('exhausted', 'Cannot write image data: no space left on device')],
  [
    /connection refused|no such host|i\/o timeout|network is unreachable|no route to host/,
    (_, why) => new MoorError('unavailable', why),
  ],
];

export function pullError(stderr: string, reference: Reference): MoorError {
  const why = lastMessage(stderr);
  for (const [pattern, error] of MEANINGS) if (pattern.test(why)) return error(reference, why);
  return new MoorError('internal', `Cannot pull ${familiarText(reference)}: ${why}`);
}

/** logrus writes `time=… level=fatal msg="…"`. What stands before the cause names skopeo's own arguments. */
function lastMessage(stderr: string): string {
  const quoted = [...stderr.matchAll(/level=(?:fatal|error) msg=("(?:[^"\\]|\\.)*"|\S+)/g)].at(-1)?.[1];
  const line =
    quoted === undefined ? (stderr.trim().split('\n').at(-1) ?? '') : quoted.startsWith('"') ? unquote(quoted) : quoted;
  const cause = line.replace(/^(Error parsing image name "[^"]*": |initializing source \S+: |Error reading blob \S+: )+/, '');
  return (/(?:Get|Head) "[^"]*": .*$/.exec(cause)?.[0] ?? cause).trim() || 'skopeo failed without a word';
}

function unquote(text: string): string {
  try {
    return String(JSON.parse(text));
  } catch {
    return text.slice(1, -1);
  }
}
