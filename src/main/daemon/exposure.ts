/** Asks a thread of its own what the host's rules do to published ports; the thread ends when it has not been asked for a while. */
import { SHARE_ENV, Worker } from 'node:worker_threads';
import { errorFrom, MoorError } from '../../base/errors.ts';
import type { ExposureReport, ExposureRequest, ObstacleRequest } from '../../contracts/exposure.ts';
import type { Answer, Question, WorkerOptions } from './exposure-protocol.ts';

export interface Exposure extends AsyncDisposable {
  /** @throws what keeps the rules from being read; exhausted when they are more than fit */
  readonly report: (request: ExposureRequest) => Promise<ExposureReport>;
  /** Sentences about what keeps other hosts from ports that are being published. @throws as `report` */
  readonly obstacles: (request: ObstacleRequest) => Promise<readonly string[]>;
}

/** Milliseconds. Making a thread takes some fifty, and its memory is worth more than that to a daemon that is not asked again. */
const IDLE = 5_000;
/** Megabytes: a listing of 100,000 elements takes some hundred for a moment. */
const HEAP = { maxOldGenerationSizeMb: 512, maxYoungGenerationSizeMb: 16 };

interface Pending {
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: Error) => void;
}

type Unnumbered = { readonly [K in Question['about']]: Omit<Extract<Question, { about: K }>, 'id'> }[Question['about']];

/** @param table name of our nftables table */
export function createExposure({ table }: WorkerOptions): Exposure {
  let worker: Worker | null = null;
  let timer: NodeJS.Timeout | undefined;
  let nextId = 1;
  const pending = new Map<number, Pending>();

  const giveUp = (error: Error): void => {
    worker = null;
    for (const { reject } of pending.values()) reject(error);
    pending.clear();
  };

  const start = (): Worker => {
    const workerData: WorkerOptions = { table };
    const made = new Worker(new URL('./exposure-worker.ts', import.meta.url), {
      workerData,
      name: 'moor-exposure',
      env: SHARE_ENV,
      execArgv: [],
      resourceLimits: HEAP,
    });
    made.unref();
    made.on('message', (answer: Answer) => {
      const waiting = pending.get(answer.id);
      pending.delete(answer.id);
      if ('error' in answer) waiting?.reject(errorFrom(answer.error));
      else waiting?.resolve(answer.value);
      if (pending.size === 0) rest();
    });
    made.on('error', (error) => {
      const full = (error as NodeJS.ErrnoException).code === 'ERR_WORKER_OUT_OF_MEMORY';
      const why = full ? `they need more than ${HEAP.maxOldGenerationSizeMb} MB` : String(error);
      giveUp(new MoorError(full ? 'exhausted' : 'internal', `Cannot follow the rules of this host: ${why}`));
    });
    made.on('exit', () => {
      if (worker === made) giveUp(new MoorError('cancelled', 'The thread that reads the rules has ended'));
    });
    return made;
  };

  const rest = (): void => {
    clearTimeout(timer);
    timer = setTimeout(() => void end(), IDLE);
    timer.unref();
  };

  const end = async (): Promise<void> => {
    const ending = worker;
    worker = null;
    await ending?.terminate();
  };

  const ask = async (question: Unnumbered): Promise<unknown> => {
    clearTimeout(timer);
    worker ??= start();
    const { promise, resolve, reject } = Promise.withResolvers<unknown>();
    const id = nextId++;
    pending.set(id, { resolve, reject });
    worker.postMessage({ ...question, id });
    return promise;
  };

  // The thread is ours: what it answers to a question has the type that the question stands for.
  return {
    report: async (request) => (await ask({ about: 'exposure', request })) as ExposureReport,
    obstacles: async (request) => (await ask({ about: 'obstacles', request })) as readonly string[],
    async [Symbol.asyncDispose]() {
      clearTimeout(timer);
      await end();
      giveUp(new MoorError('cancelled', 'The daemon is stopping'));
    },
  };
}
