/** Pax extended header records: `LENGTH KEY=VALUE\n`, the length counting itself (POSIX.1-2017, pax, "Extended Header"). */
import { invalid } from '../../../base/errors.ts';

/** Keys and values are bytes, one character each. An empty value takes back what an earlier record said. */
export function decodePax(data: Buffer): ReadonlyMap<string, string> {
  const records = new Map<string, string>();
  for (let at = 0; at < data.length; ) {
    const space = data.indexOf(0x20, at);
    const digits = space < 0 ? '' : data.toString('latin1', at, Math.min(space, at + 12));
    const length = /^[1-9][0-9]*$/.test(digits) ? Number(digits) : 0;
    const end = at + length;
    if (length < digits.length + 4 || end > data.length || data[end - 1] !== 0x0a) {
      throw invalid('invalid tar header: a pax record is malformed');
    }
    const record = data.toString('latin1', space + 1, end - 1);
    const equals = record.indexOf('=');
    if (equals < 1) throw invalid('invalid tar header: a pax record has no key');
    records.set(record.slice(0, equals), record.slice(equals + 1));
    at = end;
  }
  return records;
}

export function encodePax(records: ReadonlyMap<string, string>): Buffer {
  return Buffer.concat([...records].map(([key, value]) => encodeRecord(key, value)));
}

function encodeRecord(key: string, value: string): Buffer {
  const rest = ` ${key}=${value}\n`;
  // The length's own digits may make it one digit longer.
  let length = rest.length + String(rest.length).length;
  length = rest.length + String(length).length;
  return Buffer.from(`${length}${rest}`, 'latin1');
}
