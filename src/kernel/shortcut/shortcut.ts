/**
 * The shortcut of ports published at the loopback (docs/adr/0012). Everything here is a file of this process, so the kernel takes it away
 * when that ends. A map is changed by the caller's own thread: it takes a microsecond and never sleeps.
 */
import { endianness } from 'node:os';
import { errorData } from '../../base/errors.ts';
import type { Feature } from '../../contracts/kernel.ts';
import type { Shortcut } from '../../contracts/shortcut.ts';
import { createMap, linkToCgroup, loadProgram, MapWriter } from '../../sys/bpf.ts';
import { openCgroupRoot } from '../../sys/cgroup.ts';
import { bpfH } from '../../sys/constants-bpf.ts';
import { hasCode } from '../../sys/errors.ts';
import type { Fd } from '../../sys/fd.ts';
import { netnsCookie } from '../../sys/namespace-cookie.ts';
import { bpfProgramH } from '../../wire/bpf/constants.ts';
import { BTF_WORD, BTF_WORDS, btfOfWords } from '../../wire/bpf/btf.ts';
import { blocks, writeKey, writeTarget } from './entries.ts';
import { KEY, KEY_SIZE, NOTE, TARGET } from './layout.ts';
import { programs } from './program.ts';

const NAME = 'shortcut';
/** Elements that the trie may have: every port of 16 addresses. It takes memory for those that are there, about 100 bytes each. */
const ENTRIES = 1 << 20;

/**
 * For sockets of the calling thread's network namespace. What keeps it from working is told in `feature`, and then it does nothing.
 * @param openCgroup whose sockets are concerned; it is closed in the end
 */
export function openShortcut(openCgroup: () => Fd = openCgroupRoot): Shortcut {
  try {
    return open(openCgroup);
  } catch (error) {
    return none({ name: NAME, state: hasCode(error, 'EPERM', 'EACCES') ? 'unknown' : 'no', why: `${USE}: ${reason(error)}` });
  }
}

/** Switched off by the administrator. */
export const noShortcut = (): Shortcut => none({ name: NAME, state: 'no', why: `${USE}: switched off (loopback-shortcut)` });

const USE = 'TCP to ports published at the loopback goes straight to the container';

function reason(error: unknown): string {
  const { message } = errorData(error);
  if (hasCode(error, 'E2BIG')) return `${message}: other programs have attached 64 there, which is all that the kernel takes`;
  if (hasCode(error, 'EPERM', 'EACCES')) return `${message}: it takes CAP_BPF, CAP_NET_ADMIN and no lockdown`;
  return `${message}: it takes Linux 5.14 with CONFIG_CGROUP_BPF and cgroup2`;
}

const none = (feature: Feature): Shortcut => ({ feature, allow() {}, set() {}, remove() {}, [Symbol.dispose]() {} });

function open(openCgroup: () => Fd): Shortcut {
  if (endianness() !== 'LE') throw new Error('this machine is big-endian');
  using stack = new DisposableStack();
  const cookie = netnsCookie();
  const targets = stack.use(
    createMap({
      name: 'moor_loopback',
      type: bpfH.BPF_MAP_TYPE_LPM_TRIE,
      key: KEY_SIZE,
      value: TARGET.size,
      entries: ENTRIES,
      flags: bpfH.BPF_F_NO_PREALLOC,
    }),
  );
  using notes = createMap({
    name: 'moor_notes',
    type: bpfH.BPF_MAP_TYPE_SK_STORAGE,
    key: 4,
    value: NOTE.size,
    entries: 0,
    flags: bpfH.BPF_F_NO_PREALLOC,
    btf: { bytes: btfOfWords(NOTE.size / 4), key: BTF_WORD, value: BTF_WORDS },
  });
  const cgroup = stack.use(openCgroup());
  const connecting = stack.use(new Links(cgroup));
  // First those that speak of a connection, then those that make it another one.
  for (const one of programs({ targets: targets.number, notes: notes.number, cookie }).toReversed()) {
    const program = stack.use(loadProgram({ ...one, type: bpfH.BPF_PROG_TYPE_CGROUP_SOCK_ADDR }));
    if (CONNECTS.has(one.attach)) connecting.add(program, one.attach);
    else stack.use(linkToCgroup(program, cgroup, one.attach));
  }
  connecting.open();
  let feature: Feature = { name: NAME, state: 'yes', why: USE };
  const owned = stack.move();
  return {
    ...writer(targets),
    get feature() {
      return feature;
    },
    allow(objection) {
      feature = { name: NAME, ...turned(connecting, objection) };
    },
    [Symbol.dispose]: () => owned.dispose(),
  };
}

const CONNECTS: ReadonlySet<number> = new Set([bpfProgramH.BPF_CGROUP_INET4_CONNECT, bpfProgramH.BPF_CGROUP_INET6_CONNECT]);

function turned(connecting: Links, objection: string | null): Omit<Feature, 'name'> {
  if (objection !== null) {
    connecting.close();
    return { state: 'no', why: `${USE}: not while ${objection}` };
  }
  try {
    connecting.open();
    return { state: 'yes', why: USE };
  } catch (error) {
    return { state: 'no', why: `${USE}: ${reason(error)}` };
  }
}

/** The programs at connect(2): without them connections come about as if there were no shortcut, and those that are there stay what they are. */
class Links implements Disposable {
  readonly #cgroup: Fd;
  readonly #programs: { readonly program: Fd; readonly attach: number }[] = [];
  readonly #links: Fd[] = [];

  constructor(cgroup: Fd) {
    this.#cgroup = cgroup;
  }

  add(program: Fd, attach: number): void {
    this.#programs.push({ program, attach });
  }

  /** All of them or none. @throws as `linkToCgroup` */
  open(): void {
    if (this.#links.length > 0) return;
    try {
      for (const { program, attach } of this.#programs) this.#links.push(linkToCgroup(program, this.#cgroup, attach));
    } catch (error) {
      this.close();
      throw error;
    }
  }

  close(): void {
    for (const link of this.#links.splice(0)) link.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

function writer(targets: Fd): Pick<Shortcut, 'set' | 'remove'> {
  const key = new Uint8Array(new ArrayBuffer(KEY.size));
  const value = new Uint8Array(new ArrayBuffer(TARGET.size));
  const map = new MapWriter(targets, { key, value });
  return {
    set({ address, ports }, target) {
      writeTarget(new DataView(value.buffer), target);
      for (const block of blocks(ports)) {
        writeKey(new DataView(key.buffer), address, block);
        map.update();
      }
    },
    remove({ address, ports }) {
      for (const block of blocks(ports)) {
        writeKey(new DataView(key.buffer), address, block);
        map.remove();
      }
    },
  };
}
