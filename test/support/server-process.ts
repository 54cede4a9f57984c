/** Somebody else's server as a process of the test: a folder of its own, signals, and the end of its log. */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

export interface ServerCommand {
  readonly program: string;
  readonly args: readonly string[];
  /** Written into the folder before it starts. */
  readonly files?: Readonly<Record<string, string>>;
  readonly env?: Readonly<Record<string, string>>;
}

const LOG_CHARS = 4_000;

export abstract class ServerProcess implements AsyncDisposable {
  /** Where clients find it, on a loopback address. */
  readonly port: number;
  readonly endpoint: { readonly host: string; readonly port: number };
  readonly #name: string;
  readonly #folder: string;
  readonly #command: ServerCommand;
  #process: ChildProcess | null = null;
  #exited: Promise<unknown> = Promise.resolve();
  #said = '';

  /** @param command what runs, given the folder in which its files are; the data goes into `data` there. Started by `start`. */
  constructor(name: string, port: number, command: (folder: string) => ServerCommand) {
    this.#name = name;
    this.port = port;
    this.endpoint = { host: '127.0.0.1', port };
    this.#folder = mkdtempSync(join(tmpdir(), `${name}-`));
    this.#command = command(this.#folder);
  }

  /** The end of its log. */
  get said(): string {
    return this.#said;
  }

  /** Until it serves. @throws when it has ended, or takes too long, with the end of its log */
  abstract ready(): Promise<void>;

  /** Also again, on the data that is there. */
  async start(): Promise<void> {
    this.launch();
    await this.ready();
  }

  /** The same, without waiting for it. */
  launch(): void {
    const { program, args, files = {}, env = {} } = this.#command;
    mkdirSync(join(this.#folder, 'data'), { recursive: true });
    for (const [name, text] of Object.entries(files)) writeFileSync(join(this.#folder, name), text);
    const child = spawn(program, args, {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { HOME: this.#folder, PATH: '/usr/bin:/bin', ...env },
    });
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8');
      stream.on('data', (text: string) => (this.#said = (this.#said + text).slice(-LOG_CHARS)));
    }
    this.#process = child;
    this.#exited = once(child, 'exit');
  }

  assertAlive(): void {
    const { exitCode, signalCode } = this.#process ?? { exitCode: null, signalCode: null };
    assert.ok(exitCode === null && signalCode === null, `${this.#name} has ended: ${signalCode ?? exitCode}\n${this.#said}`);
  }

  /** SIGKILL by default. */
  async stop(signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
    const child = this.#process;
    this.#process = null;
    if (!child) return;
    child.kill('SIGCONT');
    child.kill(signal);
    await this.#exited;
  }

  /** A black hole: connections stay, and new ones are taken by the kernel, but nobody answers. */
  async freeze(): Promise<void> {
    const pid = this.#process?.pid;
    this.#process?.kill('SIGSTOP');
    // Each thread stops when it next comes by.
    const state = (thread: string): string => readFileSync(`/proc/${pid}/task/${thread}/stat`, 'utf8').replace(/^.*\) /, '');
    while (!readdirSync(`/proc/${pid}/task`).every((thread) => state(thread).startsWith('T'))) await sleep(1);
  }

  thaw(): void {
    this.#process?.kill('SIGCONT');
  }

  /** Forgets everything, as a server that was set up anew. */
  wipe(): void {
    rmSync(join(this.#folder, 'data'), { recursive: true, force: true });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

/** A server that runs, and goes with the test. */
export async function started<S extends ServerProcess>(server: S): Promise<S> {
  try {
    await server.start();
  } catch (error) {
    await server[Symbol.asyncDispose]();
    throw error;
  }
  return server;
}
