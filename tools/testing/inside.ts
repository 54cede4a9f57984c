/**
 * Runs one command inside fresh namespaces and reports what it left there.
 *
 * Usage: node tools/testing/inside.ts REPORT COMMAND [ARGUMENT...]
 */
import { spawnSync } from 'node:child_process';
import { appendFileSync } from 'node:fs';
import { encodeEvent } from './events.ts';
import { settledDifference, takeSnapshot } from './leaks.ts';

/** Removing a namespace with its links took up to 1.5 s on a busy two-core machine. */
const PATIENCE_MS = 5000;

const [report, command, ...args] = process.argv.slice(2);
if (report === undefined || command === undefined) throw new Error('Usage: inside.ts REPORT COMMAND [ARGUMENT...]');

const before = takeSnapshot();
const { status, signal, error } = spawnSync(command, args, { stdio: ['ignore', 'inherit', 'inherit'] });
if (error) throw error;
for (const what of await settledDifference(before, PATIENCE_MS)) appendFileSync(report, encodeEvent({ type: 'leak', what }));
if (signal) console.error(`ended by ${signal}`);
process.exitCode = status ?? 1;
