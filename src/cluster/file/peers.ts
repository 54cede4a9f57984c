/**
 * The hosts of a cluster as a file, for few hosts and no store:
 *
 *     peers:
 *       - name: n1
 *         address: 192.0.2.1      # or `addresses`, one of a family
 *         subnet: 10.244.1.0/24   # or `subnets`
 *         port: 8285              # of its tunnel; may be left out, as the next two
 *         vtep4: 02:00:00:00:00:01
 *         vtep6: 02:00:00:00:00:02
 *
 * The same file serves on every host: each finds its own entry by its name.
 */
import { errorData, invalid, MoorError } from '../../base/errors.ts';
import { familyOf, type IpAddress, type Prefix, prefixesOverlap } from '../../base/ip.ts';
import { type Mac, parseMac } from '../../base/mac.ts';
import { checkHostname } from '../../model/names.ts';
import { countOf, hostAddressOf, listOf, prefixIn, textOf } from '../fields.ts';

export interface FilePeer {
  readonly name: string;
  readonly addresses: readonly IpAddress[];
  readonly subnets: readonly Prefix[];
  readonly port?: number;
  readonly vtep4?: Mac;
  readonly vtep6?: Mac;
  /** In the file, from 1. */
  readonly line: number;
}

const PORT_MAX = 65_535;

const FIELDS = ['name', 'address', 'addresses', 'subnet', 'subnets', 'port', 'vtep4', 'vtep6'] as const;
type Field = (typeof FIELDS)[number];

/** A value and the line that it stands on. */
interface Placed {
  readonly value: unknown;
  readonly line: number;
}

/**
 * @param name of the file, for messages
 * @throws invalid: `peers.yaml:7: ...`
 */
export async function readPeers(text: string, name: string): Promise<readonly FilePeer[]> {
  // 0.3 MB that a daemon without such a file need not have. It is CommonJS: what it exports is one value, in a bundle as in Node.
  const { isMap, isScalar, isSeq, LineCounter, parseDocument } = (await import('yaml')).default;
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false, strict: true, uniqueKeys: true });
  const lineOf = (node: unknown): number => {
    const range = typeof node === 'object' && node !== null && 'range' in node ? node.range : null;
    return Array.isArray(range) && typeof range[0] === 'number' ? lines.linePos(range[0]).line : 1;
  };
  const fail = (line: number, why: string): never => {
    throw invalid(`${name}:${line}: ${why}`);
  };
  const [fault] = document.errors;
  if (fault) return fail(lines.linePos(fault.pos[0]).line, fault.message);

  const root = document.contents;
  if (!isMap(root)) return fail(lineOf(root), 'a list of hosts is wanted, under `peers`');
  for (const { key } of root.items)
    if (!isScalar(key) || key.value !== 'peers') fail(lineOf(key), `unknown field ${String(key)}`);
  const list = root.get('peers', true) as unknown;
  if (!isSeq(list)) return fail(lineOf(list), '`peers` is no list');
  const peers = list.items.map((item) => {
    const line = lineOf(item);
    if (!isMap(item)) return fail(line, 'a host is wanted: name, address, subnet');
    const fields: Partial<Record<Field, Placed>> = {};
    for (const { key, value } of item.items) {
      const field = isScalar(key) ? FIELDS.find((one) => one === key.value) : undefined;
      if (field === undefined) return fail(lineOf(key), `unknown field ${String(key)}`);
      // Scalars and lists of them; what else there is becomes something that no field takes.
      const plain = isScalar(value)
        ? value.value
        : isSeq(value)
          ? value.items.map((one) => (isScalar(one) ? one.value : null))
          : null;
      fields[field] = { value: plain, line: lineOf(value) };
    }
    return peerOf(fields, { line, fail });
  });
  checkTogether(peers, fail);
  return peers;
}

interface Place {
  readonly line: number;
  readonly fail: (line: number, why: string) => never;
}

function peerOf(fields: Partial<Record<Field, Placed>>, { line, fail }: Place): FilePeer {
  const read = <T>(field: Field, reader: (value: unknown, name: string) => T): T | undefined => {
    const placed = fields[field];
    if (placed === undefined) return undefined;
    try {
      return reader(placed.value, field);
    } catch (error) {
      return fail(placed.line, error instanceof MoorError ? error.message : errorData(error).message);
    }
  };
  /** `address` or `addresses`. */
  const several = <T>(one: Field, many: Field, reader: (value: unknown, name: string) => T): readonly T[] => {
    const single = read(one, reader);
    const list = read(many, (value, name) => listOf(value, name, reader));
    if (single !== undefined && list !== undefined) return fail(line, `${one} and ${many} exclude each other`);
    const all = single === undefined ? (list ?? []) : [single];
    return all.length > 0 ? all : fail(line, `${one} is missing`);
  };
  const name = read('name', (value, field) => checkHostname(textOf(value, field))) ?? fail(line, 'name is missing');
  const addresses = several('address', 'addresses', hostAddressOf);
  if (new Set(addresses.map(familyOf)).size < addresses.length) return fail(line, 'addresses: one of a family at most');
  const subnets = several('subnet', 'subnets', prefixIn);
  const port = read('port', (value, field) => countOf(value, field, PORT_MAX));
  if (port === 0) return fail(line, 'port: 0 is no port');
  const mac = (value: unknown, field: string): Mac => parseMac(textOf(value, field));
  const vtep4 = read('vtep4', mac);
  const vtep6 = read('vtep6', mac);
  return {
    name,
    addresses,
    subnets,
    line,
    ...(port === undefined ? {} : { port }),
    ...(vtep4 === undefined ? {} : { vtep4 }),
    ...(vtep6 === undefined ? {} : { vtep6 }),
  };
}

/** No name, address or inner address stands for two hosts. */
function checkTogether(peers: readonly FilePeer[], fail: Place['fail']): void {
  const names = new Map<string, number>();
  const addresses = new Map<string, number>();
  const earlier: { readonly subnet: Prefix; readonly line: number }[] = [];
  for (const peer of peers) {
    const taken = names.get(peer.name);
    if (taken !== undefined) fail(peer.line, `name: ${peer.name} stands on line ${taken} already`);
    names.set(peer.name, peer.line);
    for (const address of peer.addresses) {
      const line = addresses.get(address);
      if (line !== undefined) fail(peer.line, `address: ${address} stands on line ${line} already`);
      addresses.set(address, peer.line);
    }
    for (const subnet of peer.subnets) {
      const other = earlier.find((one) => prefixesOverlap(one.subnet, subnet));
      if (other) fail(peer.line, `subnet: ${subnet} overlaps ${other.subnet} on line ${other.line}`);
      earlier.push({ subnet, line: peer.line });
    }
  }
}
