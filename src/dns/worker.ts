/**
 * The resolver thread. It waits in the kernel and never comes back to Node's event loop until it ends: what is said to it lies at its port, and
 * an eventfd tells it to look there.
 */
import { type MessagePort, parentPort, receiveMessageOnPort, workerData } from 'node:worker_threads';
import { errorData, MoorError } from '../base/errors.ts';
import type { ResolverStatus } from '../contracts/resolver.ts';
import { epollH } from '../sys/constants.ts';
import { Epoll } from '../sys/epoll.ts';
import { Fd } from '../sys/fd.ts';
import { ownNetns } from '../sys/netns.ts';
import { clearEvent } from '../sys/poll.ts';
import { setThreadName } from '../sys/process.ts';
import { Descriptors } from './descriptors.ts';
import { Loop } from './loop.ts';
import type { Call, FromWorker, ToWorker, WorkerOptions } from './protocol.ts';
import { Service } from './service.ts';

const port = parentPort;
if (port === null) throw new MoorError('internal', 'dns/worker.ts must run as a worker thread');
const options = workerData as WorkerOptions;

setThreadName('moor-dns');
const send = (message: FromWorker): void => port.postMessage(message);

/** Troubles told about: a bug that every packet meets must not fill the log. */
let told = 0;
const TOLD_MAX = 100;
const trouble = (error: unknown): void => {
  if (told++ < TOLD_MAX) send({ trouble: errorData(error) });
};

const descriptors = new Descriptors(options.descriptors);
const epoll = new Epoll();
descriptors.opened(epoll.number);
// Stays open as long as the thread: main closes what is noted when it has ended.
descriptors.opened(ownNetns().number);
const loop = new Loop(epoll, descriptors, trouble);
const service = new Service(loop);
/** Main's: it closes it. */
const event = new Fd(options.event, 'eventfd');
let halted: Int32Array<SharedArrayBuffer> | null = null;

function answer(call: Call): ResolverStatus | null {
  switch (call.method) {
    case 'serve':
      service.serve(call.clients);
      return null;
    case 'stop':
      service.stop(call.sandboxes);
      return null;
    case 'status':
      return service.status();
  }
}

function take(message: ToWorker): void {
  if ('put' in message) return service.put(message.put);
  if ('remove' in message) return service.remove(message.remove);
  if ('call' in message) {
    const { id, call } = message;
    try {
      send({ id, value: answer(call) });
    } catch (error) {
      send({ id, error: errorData(error) });
    }
    return;
  }
  if ('halt' in message) halted = message.halt;
  loop.stop();
}

function hear(own: MessagePort): void {
  for (let next = receiveMessageOnPort(own); next !== undefined; next = receiveMessageOnPort(own)) take(next.message as ToWorker);
}

loop.watch(
  event,
  {
    ready: () => {
      clearEvent(event);
      // Once more: it may have been set after this turn's first look.
      hear(port);
    },
    broke: () => {},
  },
  epollH.EPOLLIN,
);
descriptors.closed(event.number);
send({ ready: true });
loop.run(() => hear(port));
service.close();
descriptors.closed(epoll.number);
epoll[Symbol.dispose]();
port.close();
if (halted !== null) {
  Atomics.store(halted, 0, 1);
  Atomics.notify(halted, 0);
}
