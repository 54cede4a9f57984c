/** For tests: namespaces in a directory of their own, which are all removed again, and the answers of other programs inside them. */
import '../../test/support/isolated.ts';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { MoorError } from '../base/errors.ts';
import { unpinNetns } from '../sys/netns.ts';
import { createNamespace, type Namespace } from './namespace.ts';
import type { Request } from './request.ts';
import type { NetlinkSocket } from './socket.ts';

/** An object of `ip -j`, `bridge -j`. */
export type Shown = Readonly<Record<string, unknown>>;

export interface LabNamespace extends Namespace {
  readonly path: string;
  /** Sends requests that must all succeed. */
  readonly apply: (...requests: readonly Request[]) => void;
  /** Output of a command inside. */
  readonly run: (command: string) => string;
  /** The same as JSON, without the empty objects that iproute2 prints for what a filter left out. */
  readonly show: (command: string) => readonly Shown[];
}

export class Lab implements Disposable {
  readonly directory = mkdtempSync(join(tmpdir(), 'moor-lab-'));
  readonly #namespaces: LabNamespace[] = [];

  /** A new namespace, its loopback up. */
  namespace(name: string): LabNamespace {
    const path = join(this.directory, name);
    const namespace = createNamespace(path);
    const run = (command: string): string =>
      execFileSync('nsenter', [`--net=${path}`, 'sh', '-c', command], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
    const lab: LabNamespace = {
      ...namespace,
      path,
      run,
      apply: (...requests) => {
        for (const error of namespace.route.execute(requests)) if (error) throw error;
      },
      show: (command) => (JSON.parse(run(command) || '[]') as readonly Shown[]).filter((item) => Object.keys(item).length > 0),
    };
    this.#namespaces.push(lab);
    return lab;
  }

  [Symbol.dispose](): void {
    for (const namespace of this.#namespaces) {
      namespace[Symbol.dispose]();
      unpinNetns(namespace.path);
    }
    rmSync(this.directory, { recursive: true, force: true });
  }
}

/** The error of a request that must fail. */
export function failureOf(socket: NetlinkSocket, request: Request): MoorError {
  const error = socket.execute([request])[0];
  if (!error) throw new Error(`${request.what} succeeded`);
  return error;
}

/** Some properties of an object: what a test compares. */
export const pick = (shown: Shown | undefined, ...keys: readonly string[]): Shown =>
  Object.fromEntries(keys.filter((key) => shown && key in shown).map((key) => [key, shown?.[key]]));
