/** What a test process writes to its report, one JSON value a line. */

export type Event =
  /** A test starts; the last of these in the report of a hung file names the culprit. */
  | { readonly type: 'start'; readonly name: string }
  | { readonly type: 'pass'; readonly name: string }
  | { readonly type: 'skip'; readonly name: string; readonly reason: string }
  | { readonly type: 'fail'; readonly name: string; readonly error: string }
  /** Something that the file left behind, in words. */
  | { readonly type: 'leak'; readonly what: string };

export function encodeEvent(event: Event): string {
  return `${JSON.stringify(event)}\n`;
}

/** A last line that a killed process left incomplete is dropped. */
export function decodeEvents(text: string): readonly Event[] {
  return text
    .split('\n')
    .slice(0, -1)
    .map((line): Event => JSON.parse(line) as Event);
}
