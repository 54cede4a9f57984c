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
  const { kind, message, kernel } = errorData(error);
  const operation = describe(change);
  // Messages of the lower layers start with their operation; ours starts with the whole change.
  const inner = kernel && message.startsWith(`${kernel.operation}: `) ? message.slice(kernel.operation.length + 2) : message;
  const data: ErrorData = {
    kind,
    message: `${operation}: ${inner}`,
    ...(kernel === undefined ? {} : { kernel: { ...kernel, operation } }),
  };
  return { state: 'failed', error: data };
}

/** Something exists under this name, and is not what was wanted. @param difference `mtu is 1400, not 1500` */
export function conflicting(change: Change, difference: string): Applied {
  const kernel: KernelDetail = { operation: describe(change), errno: 17, code: 'EEXIST' };
  return { state: 'failed', error: { kind: 'conflict', message: `${kernel.operation}: exists, but ${difference}`, kernel } };
}

/** What it needs is not there. @param what `no device br-1a2b` */
export const missing = (change: Change, what: string): Applied => failed(change, new MoorError('not-found', what));

/** Is it the removal of something: done when that is gone already? */
export const isRemoval = (change: Change): boolean =>
  ('op' in change && change.op === 'remove') || (change.kind === 'file' && change.value === null);
