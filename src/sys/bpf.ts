/**
 * bpf(2): maps, programs, and links, by which a program is attached to a cgroup. Each is a file of this process, and what nobody else holds
 * ends with it, however it ends.
 */
import { bpfH, syscallBpfH } from './constants-bpf.ts';
import { Fd } from './fd.ts';
import { addressOf, check, lastErrno, libc } from './libc.ts';
import { hasCode, kernelError } from './errors.ts';

/** `union bpf_attr`, <linux/bpf.h>, by command: where the fields lie that we set. */
export const bpfAttr = {
  map_type: 0,
  key_size: 4,
  value_size: 8,
  max_entries: 12,
  map_flags: 16,
  map_name: 28,
  btf_fd: 48,
  btf_key_type_id: 52,
  btf_value_type_id: 56,
  map_fd: 0,
  key: 8,
  value: 16,
  flags: 24,
  prog_type: 0,
  insn_cnt: 4,
  insns: 8,
  license: 16,
  log_level: 24,
  log_size: 28,
  log_buf: 32,
  prog_name: 48,
  expected_attach_type: 68,
  btf: 0,
  btf_size: 16,
  'link_create.prog_fd': 0,
  'link_create.target_fd': 4,
  'link_create.target_ifindex': 4,
  'link_create.attach_type': 8,
} as const;
type Field = keyof typeof bpfAttr;

/** Bytes that we give; the kernel takes what is missing as zero. */
const ATTR = 72;
/** The kernel takes 15 letters, digits, `_` and `.`, and a NUL. */
const NAME = 15;
/** Bytes for what the verifier has to say. It says nothing but in an error, and then a page of it. */
const LOG = 64 * 1024;

/** The verifier gives up with EAGAIN when a signal comes in between, and V8's threads send each other some. bpf_check(), kernel/bpf/verifier.c */
const TRIES = 50;

/** Fields of 64 bits are memory. */
type Value = number | Uint8Array<ArrayBuffer> | string;

function encode(fields: Partial<Record<Field, Value>>): Uint8Array<ArrayBuffer> {
  const attr = new Uint8Array(new ArrayBuffer(ATTR));
  const view = new DataView(attr.buffer);
  for (const [field, value] of Object.entries(fields) as [Field, Value][]) {
    const at = bpfAttr[field];
    if (typeof value === 'number') view.setUint32(at, value, true);
    else if (typeof value === 'string') attr.set(Buffer.from(value.slice(0, NAME)), at);
    else view.setBigUint64(at, BigInt(addressOf(value)), true);
  }
  return attr;
}

const bpf = (command: number, attr: Uint8Array<ArrayBuffer>): number =>
  libc.syscall(syscallBpfH.SYS_bpf, command, addressOf(attr), ATTR, 0);

function command(number: number, fields: Partial<Record<Field, Value>>, operation: string): number {
  const attr = encode(fields);
  for (let left = TRIES; ; left--) {
    const result = bpf(number, attr);
    if (result >= 0) return result;
    const error = kernelError(operation, lastErrno());
    if (left === 0 || !hasCode(error, 'EAGAIN', 'EINTR')) throw error;
  }
}

export interface MapSpec {
  readonly name: string;
  /** BPF_MAP_TYPE_* */
  readonly type: number;
  /** bytes */
  readonly key: number;
  readonly value: number;
  readonly entries: number;
  /** BPF_F_* */
  readonly flags: number;
  /** Types of key and value, for maps that need them. */
  readonly btf?: { readonly bytes: Uint8Array<ArrayBuffer>; readonly key: number; readonly value: number };
}

/** @throws forbidden without CAP_BPF, unsupported or invalid where the kernel has no such map */
export function createMap({ name, type, key, value, entries, flags, btf }: MapSpec): Fd {
  const operation = `bpf map create ${name}`;
  using types = btf === undefined ? null : loadBtf(btf.bytes, operation);
  const fd = command(
    bpfH.BPF_MAP_CREATE,
    {
      map_type: type,
      key_size: key,
      value_size: value,
      max_entries: entries,
      map_flags: flags,
      map_name: name,
      ...(btf === undefined || types === null
        ? {}
        : { btf_fd: types.number, btf_key_type_id: btf.key, btf_value_type_id: btf.value }),
    },
    operation,
  );
  return new Fd(fd, `map ${name}`);
}

const loadBtf = (bytes: Uint8Array<ArrayBuffer>, operation: string): Fd =>
  new Fd(command(bpfH.BPF_BTF_LOAD, { btf: bytes, btf_size: bytes.length }, `${operation}: types`), 'types');

/** What one map is changed with, over and over: nothing is allocated for an element. Keys and values are copied by the kernel. */
export class MapWriter {
  /** What the caller fills before each call. The kernel is given its address. */
  readonly memory: { readonly key: Uint8Array<ArrayBuffer>; readonly value: Uint8Array<ArrayBuffer> };
  readonly #map: Fd;
  readonly #withValue: Uint8Array<ArrayBuffer>;
  /** To remove, a value must not be named. */
  readonly #alone: Uint8Array<ArrayBuffer>;

  constructor(map: Fd, memory: MapWriter['memory']) {
    this.#map = map;
    this.memory = memory;
    const { key, value } = memory;
    this.#alone = encode({ map_fd: map.number, key });
    this.#withValue = encode({ map_fd: map.number, key, value });
  }

  /** Adds or replaces. @throws exhausted when the map is full (ENOSPC) or memory is short */
  update(): void {
    check(bpf(bpfH.BPF_MAP_UPDATE_ELEM, this.#withValue), () => `bpf map update ${this.#map.what}`);
  }

  /** @returns false when it was not there */
  remove(): boolean {
    if (bpf(bpfH.BPF_MAP_DELETE_ELEM, this.#alone) === 0) return true;
    const error = kernelError(`bpf map delete ${this.#map.what}`, lastErrno());
    if (hasCode(error, 'ENOENT')) return false;
    throw error;
  }
}

/** What programs have counted, read over and over. */
export class MapReader {
  /** The caller fills the key before each call; the kernel fills the value. */
  readonly memory: MapWriter['memory'];
  readonly #map: Fd;
  readonly #attr: Uint8Array<ArrayBuffer>;

  constructor(map: Fd, memory: MapWriter['memory']) {
    this.#map = map;
    this.memory = memory;
    this.#attr = encode({ map_fd: map.number, key: memory.key, value: memory.value });
  }

  /** @throws not-found (ENOENT) */
  read(): void {
    check(bpf(bpfH.BPF_MAP_LOOKUP_ELEM, this.#attr), () => `bpf map lookup ${this.#map.what}`);
  }
}

export interface ProgramSpec {
  readonly name: string;
  /** BPF_PROG_TYPE_* */
  readonly type: number;
  /** BPF_CGROUP_*: what it is for. */
  readonly attach: number;
  readonly code: Uint8Array<ArrayBuffer>;
}

/** Bytes of an instruction. */
const INSTRUCTION = 8;
const LICENSE = new Uint8Array([...Buffer.from('Apache-2.0\0')]);

/** @throws forbidden without CAP_BPF and CAP_NET_ADMIN; what the verifier has against the program, with its words in `cause` */
export function loadProgram({ name, type, attach, code }: ProgramSpec): Fd {
  const fields = {
    prog_type: type,
    insn_cnt: code.length / INSTRUCTION,
    insns: code,
    license: LICENSE,
    prog_name: name,
    expected_attach_type: attach,
  } as const;
  try {
    return new Fd(command(bpfH.BPF_PROG_LOAD, fields, `bpf program load ${name}`), `program ${name}`);
  } catch (error) {
    throw verdict(error, () => {
      const log = new Uint8Array(new ArrayBuffer(LOG));
      try {
        const more = { log_level: 1, log_size: LOG, log_buf: log };
        new Fd(command(bpfH.BPF_PROG_LOAD, { ...fields, ...more }, ''), '').close();
      } catch {
        // What it says is in the log.
      }
      return Buffer.from(log.subarray(0, log.indexOf(0))).toString();
    });
  }
}

function verdict(error: unknown, log: () => string): unknown {
  if (!(error instanceof Error)) return error;
  error.cause = log();
  return error;
}

/**
 * Runs a program for the packets of a device of the calling thread's namespace, beside the programs of others. It does as long as the link is open, and the device is there.
 * @param attach BPF_TCX_* @throws invalid (EINVAL) before Linux 6.6
 */
export function linkToDevice(
  program: Fd,
  { index, name }: { readonly index: number; readonly name: string },
  attach: number,
): Fd {
  const what = `${program.what} to ${name}`;
  const fields = {
    'link_create.prog_fd': program.number,
    'link_create.target_ifindex': index,
    'link_create.attach_type': attach,
  };
  return new Fd(command(bpfH.BPF_LINK_CREATE, fields, `bpf link ${what}`), `link of ${what}`);
}

/**
 * Runs a program for all sockets of a cgroup and those below, beside the programs of others. It does as long as the link is open.
 * @throws exhausted (E2BIG): there are 64 already; forbidden: somebody's program there allows no others
 */
export function linkToCgroup(program: Fd, cgroup: Fd, attach: number): Fd {
  const what = `${program.what} to ${cgroup.what}`;
  const fields = {
    'link_create.prog_fd': program.number,
    'link_create.target_fd': cgroup.number,
    'link_create.attach_type': attach,
  };
  return new Fd(command(bpfH.BPF_LINK_CREATE, fields, `bpf link ${what}`), `link of ${what}`);
}
