/** What the daemon and its thread for questions about rules say to each other. Plain data. */
import type { ErrorData } from '../../base/errors.ts';
import type { ExposureRequest, ObstacleRequest } from '../../contracts/exposure.ts';

export type Question =
  | { readonly id: number; readonly about: 'exposure'; readonly request: ExposureRequest }
  | { readonly id: number; readonly about: 'obstacles'; readonly request: ObstacleRequest };

export type Answer = { readonly id: number; readonly value: unknown } | { readonly id: number; readonly error: ErrorData };

/** `workerData` */
export interface WorkerOptions {
  /** Name of our table. */
  readonly table: string;
}
