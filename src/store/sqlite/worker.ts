/** Thread of the database: fsync(2) blocks it, not the thread that serves the API. */
import { parentPort, workerData } from 'node:worker_threads';
import { errorData } from '../../base/errors.ts';
import { Database } from './database.ts';
import type { FromWorker, ToWorker, WorkerInput } from './protocol.ts';

const port = parentPort;
if (!port) throw new Error('the store worker was not started as a worker');
const send = (message: FromWorker): void => port.postMessage(message);

try {
  const database = new Database((workerData as WorkerInput).file);
  port.on('message', (message: ToWorker) => {
    switch (message.type) {
      case 'run':
        send({ type: 'replies', replies: database.run(message.requests) });
        break;
      case 'close':
        database.close();
        send({ type: 'closed' });
        port.close();
        break;
    }
  });
  send({ type: 'opened', revision: database.revision });
} catch (error) {
  send({ type: 'failed', error: errorData(error) });
}
