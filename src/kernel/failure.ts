/** Failures of changes as data: the action in words, then what the kernel said. */
import { MoorError, errorData, type ErrorData, type KernelDetail } from '../base/errors.ts';
import type { Change } from '../contracts/change.ts';
import { describe } from '../contracts/describe.ts';
import type { Applied } from '../contracts/kernel.ts';

export const CHANGED: Applied = { state: 'changed' };
export const ALREADY: Applied = { state: 'already' };
export const SKIPPED: Applied = { state: 'skipped' };

/** @param error what was thrown; a kernel error's text is its extended ack when there is one. */
export function failed(change: Change, error: unknown): Applied {
  const data = errorData(error);
  const { kernel } = data;
  // Messages of the lower layers start with their operation; ours starts with the whole change.
  const text =
    kernel?.extack ??
    (kernel && data.message.startsWith(`${kernel.operation}: `) ? data.message.slice(kernel.operation.length + 2) : data.message);
  return { state: 'failed', error: failure(change, data.kind, text, kernel) };
}

/** Something exists under this name, and is not what was wanted. @param difference `mtu is 1400, not 1500` */
export const conflicting = (change: Change, difference: string): Applied => ({
  state: 'failed',
  error: failure(change, 'conflict', `exists, but ${difference}`, { operation: describe(change), errno: 17, code: 'EEXIST' }),
});

/** What it needs is not there. @param what `no device br-1a2b` */
export const missing = (change: Change, what: string): Applied => failed(change, new MoorError('not-found', what));

function failure(change: Change, kind: ErrorData['kind'], text: string, kernel: KernelDetail | undefined): ErrorData {
  const operation = describe(change);
  return { kind, message: `${operation}: ${text}`, ...(kernel === undefined ? {} : { kernel: { ...kernel, operation } }) };
}

/** Is it the removal of something: done when that is gone already? */
export const isRemoval = (change: Change): boolean =>
  ('op' in change && change.op === 'remove') || (change.kind === 'file' && change.value === null);
