/**
 * A thread for questions about the host's whole ruleset, which may be of any size: reading and following it must hold up neither the
 * API nor the kernel thread. Lives as long as it is asked.
 */
import { parentPort, workerData } from 'node:worker_threads';
import { errorData, MoorError } from '../../base/errors.ts';
import type { ExposureReport, ExposureRequest, ObstacleRequest } from '../../contracts/exposure.ts';
import { MARK, MARKED } from '../../drivers/bridge/table.ts';
import { dump } from '../../kernel/dump.ts';
import { keepTableName } from '../../kernel/keep-table.ts';
import { openNftRunner } from '../../kernel/nft-run.ts';
import { legacyTables, readRuleset, ruleText } from '../../kernel/ruleset.ts';
import { Spaces } from '../../kernel/spaces.ts';
import { readSysctls } from '../../kernel/sysctl.ts';
import type { Ruleset } from '../../nft/ruleset.ts';
import { setThreadName } from '../../sys/process.ts';
import { exposureReport } from '../../trace/exposure.ts';
import { Host, type HostState } from '../../trace/host.ts';
import type { ExposureInput } from '../../trace/judge.ts';
import { obstacles, standIn } from '../../trace/obstacles.ts';
import type { Answer, Question, WorkerOptions } from './exposure-protocol.ts';

const port = parentPort;
if (port === null) throw new MoorError('internal', 'main/daemon/exposure-worker.ts must run as a worker thread');
const { table } = workerData as WorkerOptions;
setThreadName('moor-exposure');

// The program, not the library: that has state which all threads of a process share (its list of interfaces, for one), and the kernel
// thread uses it at the same time. A listing that is too large for memory ends with its process, too.
const nft = openNftRunner(true);
const spaces = new Spaces();
/** It lets everything pass. */
const KEEP = { family: 'inet', name: keepTableName(table) } as const;

let known: { readonly text: string; readonly host: Host } | null = null;

/** The same one as long as nothing changes: what it was asked is remembered by it. */
function hostOf(state: HostState): Host {
  const text = JSON.stringify(state);
  if (known?.text !== text) known = { text, host: new Host(state) };
  return known.host;
}

/** Rules, addresses and switches as they are now. */
function look(ruleset: Ruleset, bridges: readonly string[]): ExposureInput {
  spaces.begin();
  const { links, addresses, routes } = dump(spaces.host, ['links', 'addresses', 'routes']);
  const localnet = ['all', ...bridges].map((name) => `net/ipv4/conf/${name}/route_localnet`);
  const sysctls = readSysctls(['net/ipv4/ip_forward', 'net/ipv6/conf/all/forwarding', ...localnet]);
  const legacy = legacyTables();
  return {
    ruleset,
    host: hostOf({ links, addresses, routes, sysctls }),
    own: table,
    marked: MARKED,
    ruleText: (rule) => ruleText(nft, rule),
    unseen:
      legacy.length === 0
        ? []
        : [`rules of iptables-legacy cannot be seen (tables ${legacy.join(', ')}): iptables-legacy-save shows them`],
  };
}

/** Rules of others as they were read last, and how many milliseconds that took. */
let others: { readonly tables: Ruleset['tables']; readonly at: number; readonly took: number } | null = null;
/** A reading holds so many times as long as it took: rules of any size take a twentieth of a processor at most, and are seconds old at worst. */
const HOLDS = 20;

function timed(read: () => Ruleset): Ruleset {
  const start = performance.now();
  const ruleset = read();
  const at = performance.now();
  others = { tables: ruleset.tables.filter(({ family, name }) => family !== 'inet' || name !== table), at, took: at - start };
  return ruleset;
}

const report = (request: ExposureRequest): ExposureReport =>
  exposureReport(
    look(
      timed(() => readRuleset(nft, [KEEP])),
      request.networks.map(({ bridge }) => bridge),
    ),
    request,
  );

/** Without our own table, which grows with the number of ports: publishing one takes as long with ten thousand as with none. */
function warn(request: ObstacleRequest): readonly string[] {
  if (others === null || performance.now() - others.at > others.took * HOLDS)
    timed(() => readRuleset(nft, [{ family: 'inet', name: table }, KEEP]));
  return obstacles(look({ tables: [...(others?.tables ?? []), standIn(table, Number(MARK))] }, [request.bridge]), request);
}

port.on('message', (question: Question) => {
  const { id } = question;
  let answer: Answer;
  try {
    answer = { id, value: question.about === 'exposure' ? report(question.request) : warn(question.request) };
  } catch (error) {
    answer = { id, error: errorData(error) };
  }
  port.postMessage(answer);
});
