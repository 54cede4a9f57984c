/** Numbers of the kernel's headers under their C names, as in wire/netlink/constants.ts, for programs; and where their arguments lie. */

/** <linux/bpf.h> */
export const bpfProgramH = {
  BPF_CGROUP_INET4_CONNECT: 10,
  BPF_CGROUP_INET6_CONNECT: 11,
  BPF_CGROUP_INET4_GETPEERNAME: 29,
  BPF_CGROUP_INET6_GETPEERNAME: 30,
  BPF_CGROUP_INET4_GETSOCKNAME: 31,
  BPF_CGROUP_INET6_GETSOCKNAME: 32,
  BPF_FUNC_map_lookup_elem: 1,
  BPF_FUNC_sk_storage_get: 107,
  BPF_FUNC_get_netns_cookie: 122,
  BPF_SK_STORAGE_GET_F_CREATE: 1,
} as const;

/** `struct bpf_sock_addr`: what connect(2) and its like were given. Addresses and ports are as on the wire. */
export const sockAddr = { user_ip4: 4, user_ip6: 8, user_port: 24, type: 32, protocol: 36, sk: 64 } as const;

/** `struct bpf_sock`. `src_*` is what the socket is bound to, `dst_*` whom it is connected to; dst_port has 16 bits. */
export const sock = {
  bound_dev_if: 0,
  src_ip4: 24,
  src_ip6: 28,
  dst_port: 48,
  dst_ip4: 52,
  dst_ip6: 56,
} as const;
