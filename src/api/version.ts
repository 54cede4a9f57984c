/** Docker Engine API versions: which are served, and what a request asked for. */
import type { IncomingMessage } from 'node:http';
import { invalid } from '../base/errors.ts';

export interface ApiVersion {
  readonly major: number;
  readonly minor: number;
  /** As the client wrote it, where it did. */
  readonly text?: string;
}

/** 1.24 is the oldest that Docker itself still serves. */
export const MIN_API_VERSION: ApiVersion = { major: 1, minor: 24 };
/** The newest whose network paths we answer as Docker does (Docker Engine 28.3). */
export const MAX_API_VERSION: ApiVersion = { major: 1, minor: 51 };

export const versionText = (version: ApiVersion): string => version.text ?? `${version.major}.${version.minor}`;

export const isOlder = (a: ApiVersion, b: ApiVersion): boolean => a.major < b.major || (a.major === b.major && a.minor < b.minor);

/** `/v1.41/networks` -> version and `/networks`; null when the path has no version. A missing minor part counts as 0. */
export function splitVersion(url: string): { readonly version: ApiVersion; readonly rest: string } | null {
  // One way to match, or a URL of thousands of digits would be tried at every split of them.
  const match = /^\/v(\d[\d.]*)(\/.*)$/.exec(url);
  if (!match) return null;
  const [, text = '', rest = '/'] = match;
  const [major, minor = ''] = text.split('.');
  return { version: { major: Number(major), minor: Number(minor), text }, rest };
}

/** Versions of the requests under way: the URL that the router sees has none any more. */
const asked = new WeakMap<IncomingMessage, ApiVersion>();

/** For fastify's `rewriteUrl`: strips the version and remembers it. */
export function stripVersion(request: IncomingMessage): string {
  const url = request.url ?? '/';
  const split = splitVersion(url);
  if (!split) return url;
  asked.set(request, split.version);
  return split.rest;
}

/** The version a request is answered in; without one in its path the newest, as Docker. */
export const apiVersionOf = (request: IncomingMessage): ApiVersion => asked.get(request) ?? MAX_API_VERSION;

/** @throws invalid with Docker's texts for a version that is not served. */
export function checkVersion(version: ApiVersion): void {
  if (isOlder(version, MIN_API_VERSION)) {
    throw invalid(
      `client version ${versionText(version)} is too old. Minimum supported API version is ${versionText(MIN_API_VERSION)}, ` +
        'please upgrade your client to a newer version',
    );
  }
  if (isOlder(MAX_API_VERSION, version)) {
    throw invalid(
      `client version ${versionText(version)} is too new. Maximum supported API version is ${versionText(MAX_API_VERSION)}`,
    );
  }
}
