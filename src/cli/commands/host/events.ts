import { MoorError } from '../../../base/errors.ts';
import { defineCommand, list, text } from '../../command.ts';
import { encodeFilters } from '../../options/pairs.ts';
import { show } from '../../output/report.ts';
import { paint } from '../../output/style.ts';
import { printable } from '../../output/width.ts';
import { compileTemplate } from '../../template/template.ts';
import { toJson } from '../../template/value.ts';

/** Docker's `GET /events`, one a line. */
interface DockerEvent {
  readonly Type: string;
  readonly Action: string;
  readonly Actor: { readonly ID: string; readonly Attributes?: Readonly<Record<string, string>> };
  /** seconds since the epoch */
  readonly time: number;
  /** nanoseconds since the epoch: beyond 2^53, so good to some hundred nanoseconds */
  readonly timeNano?: number;
}

export const events = defineCommand({
  name: 'events',
  summary: 'Follow what happens to networks and sandboxes',
  section: 'Host',
  arguments: [],
  options: {
    filter: list('FILTER', 'Only events that match, as in type=network', {
      short: 'f',
      completion: ['container=', 'event=', 'label=', 'network=', 'type=network', 'type=container', 'type=daemon'],
    }),
    format: text('FORMAT', "'json' or a Go template"),
    since: text('TIME', 'Show kept events from then on, as in 10m or 2026-01-31T10:00:00'),
    until: text('TIME', 'Stop at this time'),
  },
  examples: [
    { command: 'moor events', what: 'until it is interrupted' },
    { command: 'moor events --since 10m --until 0s', what: 'the last ten minutes' },
    { command: "moor events --filter type=network --format '{{.Action}} {{.Actor.Attributes.name}}'", what: 'short' },
  ],
  run: async (context, _, { filter, format = '', since, until }) => {
    const query = {
      since: momentText(since, context.clock.now()),
      until: momentText(until, context.clock.now()),
      filters: encodeFilters(filter),
    };
    const template = context.json || format === 'json' || format === '' ? null : compileTemplate(format);
    const signal = context.ports.interrupted();
    const { out } = context.terminal;
    try {
      for await (const event of context.api.stream<DockerEvent>('/events', query, signal)) {
        if (template) show(out, `${template(event)}\n`);
        else if (context.json || format === 'json') show(out, `${toJson(event)}\n`);
        else out.write(`${paint(out, 'dim', stamp(event))} ${printable(sentence(event))}\n`);
      }
    } catch (error) {
      // Being interrupted is how this ends.
      if (!(error instanceof MoorError) || error.kind !== 'cancelled') throw error;
    }
  },
});

const UNITS: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3600 };

/** `10m` is ten minutes before now; anything else (seconds, RFC 3339) is the daemon's to read. */
function momentText(text: string | undefined, now: number): string | undefined {
  if (text === undefined || !/^(\d+[smh])+$/.test(text)) return text;
  let seconds = 0;
  for (const [, number, unit = 's'] of text.matchAll(/(\d+)([smh])/g)) seconds += Number(number) * (UNITS[unit] ?? 1);
  return String((now - seconds * 1000) / 1000);
}

const stamp = (event: DockerEvent): string =>
  new Date(event.timeNano === undefined ? event.time * 1000 : event.timeNano / 1e6).toISOString();

function sentence({ Type, Action, Actor }: DockerEvent): string {
  const attributes = Object.entries(Actor.Attributes ?? {}).map(([key, value]) => `${key}=${value}`);
  return `${Type} ${Action} ${Actor.ID}${attributes.length === 0 ? '' : ` (${attributes.join(', ')})`}`;
}
