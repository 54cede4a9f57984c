import type { ErrorKind, MoorError } from '../base/errors.ts';
/** 'EEXIST' for 17. */
export declare function errnoName(errno: number): string;
export declare function errnoKind(errno: number): ErrorKind;
/** A MoorError with `kernel: { operation, errno, code, extack }`; message `<operation>: <extack or strerror>`. */
export declare function kernelError(operation: string, errno: number, extack?: string): MoorError;
/** Is it a kernel error with one of these codes? */
export declare function hasCode(error: unknown, ...codes: readonly string[]): boolean;
