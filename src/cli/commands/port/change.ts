import type { PublishedPorts } from '../../../contracts/engine.ts';
import { parsePortSpec } from '../../../model/ports-parse.ts';
import { bindingText, specText } from '../../../model/ports-text.ts';
import { type Answer, pathOf } from '../../api.ts';
import { defineCommand } from '../../command.ts';
import { changeQuery, report, writeJson } from '../../output/report.ts';
import type { PortEntry } from './list.ts';

const ARGUMENTS = [
  { name: 'SANDBOX', completion: 'sandbox' },
  { name: 'PORT', many: true },
] as const;

const FORM = 'PORT is [host-ip:][host-port[-range]:]port[-range][/tcp|udp|sctp], as docker run -p takes it.';

/** What it publishes, a line each; what waits for a network or a start as it was asked for. */
function lines({ ports, publish }: PublishedPorts): string {
  const all = ports.length > 0 ? ports.map(bindingText) : publish.map((spec) => `${specText(spec)} (at the next start)`);
  return all.map((line) => `${line}\n`).join('');
}

/** What it did not publish before, a line each. Of a range the whole is new, also where a part of it was there. */
function news(
  { sandbox, ports, publish }: PublishedPorts,
  { before, words }: { readonly before: readonly PortEntry[]; readonly words: readonly string[] },
): string {
  const had = new Set(before.filter((one) => one.sandbox.id === sandbox.id).map(bindingText));
  // Those of a container that does not run are as they were asked for.
  const asked = new Set(words.map((word) => specText(parsePortSpec(word))));
  return lines({
    sandbox,
    ports: ports.filter((one) => !had.has(bindingText(one))),
    publish: ports.length > 0 ? [] : publish.filter((spec) => asked.has(specText(spec))),
  });
}

export const add = defineCommand({
  name: 'add',
  summary: 'Publish ports of a sandbox or container while it runs',
  description: `${FORM}\nNothing of what runs is interrupted. A container keeps the ports when it is started again. Prints what has come.`,
  arguments: ARGUMENTS,
  changes: true,
  options: {},
  examples: [
    { command: 'moor port add web 8443:443', what: 'port 8443 of every address of the host' },
    { command: 'moor port add web 127.0.0.1:5432:5432 53:53/udp', what: 'one for this host alone, and one more' },
    { command: 'moor port add web 80', what: 'some free port, which is printed' },
    { command: 'moor port add --dry-run web 7000-7999:7000-7999', what: 'a thousand ports: what would be done to the kernel' },
  ],
  run: async (context, [sandbox = '', ...words]) => {
    for (const word of words) parsePortSpec(word);
    const path = pathOf('/moor/sandboxes', sandbox, 'ports');
    const before = await context.api.get<readonly PortEntry[]>('/moor/ports');
    const answer = await context.api.post<Answer<PublishedPorts>>(path, { ports: words }, changeQuery(context));
    if (context.json) writeJson(context, answer);
    else report(context, answer, (value) => news(value, { before, words }));
  },
});

export const rm = defineCommand({
  name: 'rm',
  aliases: ['remove'],
  summary: 'End the publishing of ports',
  description: `${FORM}\nA port alone stands for whatever host ports lead to it. Connections through the ports end. Prints what is left.`,
  arguments: ARGUMENTS,
  changes: true,
  options: {},
  examples: [
    { command: 'moor port rm web 443', what: 'all that leads to port 443 of web' },
    { command: 'moor port rm web 8443:443', what: 'only port 8443 of the host' },
    { command: 'moor port rm web 7100-7199', what: 'a part of a range' },
  ],
  run: async (context, [sandbox = '', ...words]) => {
    for (const word of words) parsePortSpec(word);
    const path = pathOf('/moor/sandboxes', sandbox, 'ports');
    const query = { ports: words.join(','), ...changeQuery(context) };
    const answer = await context.api.remove<Answer<PublishedPorts>>(path, query);
    if (context.json) writeJson(context, answer);
    else report(context, answer, lines);
  },
});
