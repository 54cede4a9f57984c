/**
 * The kernel thread: everything that may sleep in the kernel happens here, one thing at a time. Between calls it waits on its event
 * loop for the next one, or for notifications.
 */
import { availableParallelism } from 'node:os';
import { parentPort, receiveMessageOnPort, workerData } from 'node:worker_threads';
import { MoorError, errorData } from '../base/errors.ts';
import { HOST, type Netns } from '../contracts/change.ts';
import type { NftTableRef, NftTableState } from '../nft/types.ts';
import { dumpTables } from '../netlink/nft-rules.ts';
import { releaseFreed } from '../sys/memory.ts';
import { anywhere, currentCpu, threadId } from '../sys/cpus.ts';
import { listPins } from '../sys/netns.ts';
import { giveWay, setThreadName } from '../sys/process.ts';
import { type Machine, applyList } from './apply.ts';
import { dumpAll } from './dump.ts';
import { hostFacts } from './facts.ts';
import { automaticPorts, HeldPorts } from './host-ports.ts';
import { listInnerTable, prepareInnerTables } from './inner-tables.ts';
import { keepTableName, openKeepTable } from './keep-table.ts';
import { listTable, openNftRunner } from './nft-run.ts';
import { packResults, unpack } from './pack.ts';
import { restProcSys } from './proc-sys.ts';
import type { Call, FromWorker, ToWorker, WorkerOptions } from './protocol.ts';
import { AWAKE, CPU, SENT, WAITING } from './shared.ts';
import { Spaces } from './spaces.ts';
import { Watch } from './watch.ts';

/** Namespaces stay open for so long after the last call (milliseconds): a container's start makes several. */
const REST_AFTER = 100;
/** Memory that nobody uses any more goes back after so long (milliseconds): not between the operations of somebody who is at work. */
const SETTLE_AFTER = 4000;
/** Who announces a list sends it within that time (milliseconds), if it has a CPU of its own for that. */
const SOON = availableParallelism() > 1 ? 1 : 0;
/** Who is answered has told its client by then (milliseconds). */
const ASIDE = 0.3;

if (parentPort === null) throw new MoorError('internal', 'kernel/worker.ts must run as a worker thread');
const port = parentPort;
const { table, roots, forceNftProgram, innerTables, shared } = workerData as WorkerOptions;

setThreadName('moor-kernel');
const machine: Machine = { spaces: new Spaces(), nft: openNftRunner(forceNftProgram), roots };
const held = new HeldPorts();
let keep: Disposable | null | undefined;
const observed = new Set<Netns>();
let watch: Watch | null = null;
const resting = setTimeout(() => {
  machine.spaces.rest();
  restProcSys();
}, REST_AFTER);
const settling = setTimeout(releaseFreed, SETTLE_AFTER);

const send = (message: FromWorker): void => port.postMessage(message);

type ApplyCall = Extract<Call, { readonly method: 'apply' }>;

function apply(id: number, { changes: packed, keepGoing, whole }: ApplyCall): void {
  try {
    const changes = unpack(packed, innerTables);
    watch?.before();
    if (whole !== undefined && machine.nft.run(whole).rc !== 0) {
      send({ id, value: null });
      return;
    }
    const results = applyList(machine, changes, keepGoing);
    // First: who asked need not wait until we have read the echoes, which takes as long as a fifth of the whole, nor have a CPU less meanwhile.
    send({ id, value: packResults(results) });
    if (watch === null) return;
    Atomics.wait(shared, WAITING, 0, ASIDE);
    watch.after(changes, results);
  } catch (error) {
    send({ id, error: errorData(error) });
  }
}

function listTableIn(netns: Netns, table: NftTableRef): NftTableState | null {
  const { spaces, nft } = machine;
  if (netns === HOST) return listTable(nft, table);
  spaces.begin();
  spaces.trim();
  const space = spaces.tryGet(netns);
  return space === null ? null : listInnerTable(table, space.netfilter);
}

async function answer(call: Exclude<Call, ApplyCall>): Promise<unknown> {
  const { spaces, nft } = machine;
  switch (call.method) {
    case 'snapshot':
      spaces.begin();
      return dumpAll(spaces, call.netns, call.parts);
    case 'listTable':
      return listTableIn(call.netns, call.table);
    case 'tableNames':
      return dumpTables(spaces.host.netfilter).map(({ family, name }) => ({ family, name }));
    case 'facts':
      return hostFacts(spaces.host, nft, table);
    case 'features':
      // Asked once in a daemon's life: its code need not stay in memory from the start.
      return (await import('./features.ts')).probeFeatures();
    case 'holdPorts': {
      const refusal = held.hold(call.ports);
      // Once, and for as long as we live: taking it away keeps the kernel busy for some 25 ms.
      if (held.count > 0 && keep === undefined) keep = forceNftProgram ? null : openKeepTable(keepTableName(table.name));
      return refusal;
    }
    case 'releasePorts':
      held.release(call.ports);
      return null;
    case 'portHolder':
      // Its code is for a mistake that is rarely made.
      return (await import('./port-holder.ts')).findHolder(call.refusal);
    case 'automaticPorts':
      return automaticPorts();
    case 'pins':
      return listPins(call.directory);
    case 'watch':
      watch ??= new Watch({ spaces, nft, emit: (event) => send({ event }) });
      watch.observe([...observed]);
      return null;
    case 'unwatch':
      watch?.[Symbol.dispose]();
      watch = null;
      return null;
    case 'observe':
      spaces.begin();
      for (const path of call.netns) observed.add(path);
      watch?.observe(call.netns);
      return null;
    case 'forget':
      for (const path of call.netns) observed.delete(path);
      watch?.forget(call.netns);
      return null;
  }
}

/**
 * Opens what a list that is about to come will need, and waits for it awake: to sleep and to be woken again takes longer than what the sender still has
 * to do. What else comes meanwhile takes its usual turn.
 */
function expect(paths: readonly Netns[]): void {
  anywhere();
  Atomics.store(shared, CPU, currentCpu());
  Atomics.store(shared, AWAKE, 1);
  try {
    const { spaces } = machine;
    spaces.begin();
    for (const path of paths) {
      spaces.trim();
      // A socket for nftables too, which most lists want.
      void spaces.tryGet(path)?.netfilter;
    }
    const end = performance.now() + SOON;
    do {
      // Without a look at the port, whose lock the sender would have to wait for.
      const next = Atomics.load(shared, SENT) === taken ? undefined : receiveMessageOnPort(port);
      if (next !== undefined) return take(next.message as ToWorker);
      giveWay();
    } while (performance.now() < end);
  } finally {
    Atomics.store(shared, AWAKE, 0);
  }
}

/** Messages so far. */
let taken = 0;
port.on('message', take);

function take(message: ToWorker): void {
  Atomics.sub(shared, WAITING, 1);
  taken = (taken + 1) | 0;
  if ('halt' in message) {
    clearTimeout(resting);
    clearTimeout(settling);
    watch?.[Symbol.dispose]();
    watch = null;
    // What was closed is given back at the end of this turn of the loop.
    setImmediate(() => setImmediate(() => wake(message.halt)));
    return;
  }
  if ('stop' in message) {
    clearTimeout(resting);
    clearTimeout(settling);
    watch?.[Symbol.dispose]();
    held[Symbol.dispose]();
    keep?.[Symbol.dispose]();
    machine.spaces[Symbol.dispose]();
    machine.nft[Symbol.dispose]();
    port.close();
    return;
  }
  resting.refresh();
  settling.refresh();
  if ('expect' in message) {
    expect(message.expect);
    return;
  }
  const { id, call } = message;
  if (call.method === 'apply') {
    apply(id, call);
    return;
  }
  answer(call).then(
    (value) => send({ id, value }),
    (error: unknown) => send({ id, error: errorData(error) }),
  );
}

function wake(flag: Int32Array<SharedArrayBuffer>): void {
  Atomics.store(flag, 0, 1);
  Atomics.notify(flag, 0);
}

send({ ready: threadId() });
// Nobody waits for it: what is wrong with one is told when it is wanted.
setImmediate(() => prepareInnerTables(innerTables, machine.nft));
