/** As constants.ts, for bpf(2) and what it is used with. */

/** <sys/syscall.h>: x86-64 has a number of its own. */
export const syscallBpfH = { SYS_bpf: process.arch === 'x64' ? 321 : 280 } as const;

/** <linux/bpf.h> */
export const bpfH = {
  BPF_MAP_CREATE: 0,
  BPF_MAP_LOOKUP_ELEM: 1,
  BPF_MAP_UPDATE_ELEM: 2,
  BPF_MAP_DELETE_ELEM: 3,
  BPF_PROG_LOAD: 5,
  BPF_BTF_LOAD: 18,
  BPF_LINK_CREATE: 28,
  BPF_MAP_TYPE_HASH: 1,
  BPF_MAP_TYPE_ARRAY: 2,
  BPF_MAP_TYPE_LPM_TRIE: 11,
  BPF_MAP_TYPE_SK_STORAGE: 24,
  BPF_F_NO_PREALLOC: 1,
  BPF_PROG_TYPE_SCHED_CLS: 3,
  BPF_PROG_TYPE_CGROUP_SOCK_ADDR: 18,
} as const;

/** <linux/magic.h> */
export const cgroupH = { CGROUP2_SUPER_MAGIC: 0x63677270 } as const;

/** <asm-generic/socket.h> */
export const cookieH = { SO_NETNS_COOKIE: 71 } as const;
