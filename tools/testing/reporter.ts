/** A reporter for node:test that writes the events of tools/testing/events.ts. Used as `--test-reporter=<this file>`. */
import type { TestEvent } from 'node:test/reporters';
import { inspect } from 'node:util';
import { encodeEvent, type Event } from './events.ts';

/** Names of the enclosing suites and tests, by nesting. */
type Path = string[];

// node:test takes the default export of a reporter module.
// oxlint-disable-next-line import/no-default-export
export default async function* report(source: AsyncIterable<TestEvent>): AsyncGenerator<string> {
  const path: Path = [];
  const running: Path = [];
  for await (const event of source) {
    const translated = translate(event, path, running);
    if (translated) yield encodeEvent(translated);
  }
}

function translate(event: TestEvent, path: Path, running: Path): Event | null {
  switch (event.type) {
    case 'test:dequeue':
      return { type: 'start', name: nameAt(running, event.data) };
    case 'test:start':
      nameAt(path, event.data);
      return null;
    case 'test:pass': {
      const { details, skip, todo } = event.data;
      if (details.type === 'suite') return null;
      const name = nameAt(path, event.data);
      return skip === undefined && todo === undefined
        ? { type: 'pass', name }
        : { type: 'skip', name, reason: reasonOf(skip ?? todo) };
    }
    case 'test:fail': {
      const { details, todo } = event.data;
      const name = nameAt(path, event.data);
      if (todo !== undefined) return { type: 'skip', name, reason: reasonOf(todo) };
      // The subtest has been reported already; a suite whose hook failed has not.
      if (failureType(details.error) === 'subtestsFailed') return null;
      return { type: 'fail', name, error: inspect(details.error.cause ?? details.error, { depth: 8 }) };
    }
    default:
      return null;
  }
}

function nameAt(path: Path, { name, nesting }: { readonly name: string; readonly nesting: number }): string {
  path.length = nesting;
  path.push(name);
  return path.join(' > ');
}

function reasonOf(mark: string | boolean | undefined): string {
  return typeof mark === 'string' ? mark : '';
}

function failureType(error: Error): unknown {
  return 'failureType' in error ? error.failureType : undefined;
}
