/** Certificates and keys, read from their files for each connection, so that renewed ones need no restart. */
import { readFile } from 'node:fs/promises';
import { createSecureContext } from 'node:tls';
import { invalid } from '../base/errors.ts';

/** PEM texts. `ca` alone checks the server; `cert` and `key` show who we are. */
export interface TlsText {
  readonly ca?: string;
  readonly cert?: string;
  readonly key?: string;
}

/** Paths of PEM files. Without `ca` the server's certificate must be of an authority that Node knows. */
export interface TlsFiles {
  readonly ca?: string;
  /** Ours, with its key: for servers that ask for one. */
  readonly cert?: string;
  readonly key?: string;
}

/**
 * @param store in errors: `etcd`
 * @throws invalid for a file that cannot be read or holds something else
 */
export async function readTls(store: string, files: TlsFiles | undefined): Promise<TlsText | null> {
  if (!files) return null;
  const { ca, cert, key } = files;
  if ((cert === undefined) !== (key === undefined))
    throw invalid(`invalid ${store} store: a certificate and its key belong together`);
  const text: TlsText = {
    ...(ca === undefined ? {} : { ca: await read(store, 'ca', ca) }),
    ...(cert === undefined ? {} : { cert: await read(store, 'cert', cert) }),
    ...(key === undefined ? {} : { key: await read(store, 'key', key) }),
  };
  try {
    createSecureContext(text);
  } catch (error) {
    const names = [ca, cert, key].filter((name) => name !== undefined).join(', ');
    throw invalid(`invalid ${store} store: ${names}: ${error instanceof Error ? error.message : String(error)}`);
  }
  return text;
}

async function read(store: string, what: string, path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    throw invalid(`invalid ${store} store: cannot read ${what}: ${error instanceof Error ? error.message : String(error)}`);
  }
}

/** Why a connection came to nothing, or ended. Of several addresses of a name the first. What Node advises its own users to do about certificates is no help here. */
export function connectionFault(error: unknown): string {
  if (error instanceof AggregateError && error.errors.length > 0) return connectionFault(error.errors[0]);
  const text = error instanceof Error ? error.message : String(error);
  return text.replace(/; if the root CA is installed locally.*$/s, ' (?ca=FILE names whom to trust)');
}
