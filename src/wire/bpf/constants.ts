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
  BPF_FUNC_ktime_get_ns: 5,
  BPF_FUNC_get_prandom_u32: 7,
  BPF_FUNC_skb_store_bytes: 9,
  BPF_FUNC_redirect: 23,
  BPF_FUNC_skb_load_bytes: 26,
  BPF_FUNC_skb_change_head: 43,
  BPF_FUNC_skb_adjust_room: 50,
  BPF_FUNC_sk_fullsock: 95,
  BPF_FUNC_sk_storage_get: 107,
  BPF_FUNC_get_netns_cookie: 122,
  BPF_SK_STORAGE_GET_F_CREATE: 1,
  BPF_F_INGRESS: 1,
  BPF_ADJ_ROOM_MAC: 1,
  BPF_F_ADJ_ROOM_FIXED_GSO: 1,
  BPF_F_ADJ_ROOM_ENCAP_L3_IPV4: 2,
  BPF_F_ADJ_ROOM_ENCAP_L3_IPV6: 4,
  BPF_F_ADJ_ROOM_ENCAP_L4_UDP: 16,
} as const;

/** The same of Linux 6.6, which is newer than the headers of Debian 12: what judges these is the kernel that takes them. */
export const bpfTcxH = {
  BPF_TCX_INGRESS: 46,
  BPF_TCX_EGRESS: 47,
  TCX_NEXT: -1,
  TCX_DROP: 2,
  BPF_F_ADJ_ROOM_DECAP_L3_IPV4: 128,
  BPF_F_ADJ_ROOM_DECAP_L3_IPV6: 256,
} as const;

/** `struct bpf_sock_addr`: what connect(2) and its like were given. Addresses and ports are as on the wire. */
export const sockAddr = { user_ip4: 4, user_ip6: 8, user_port: 24, type: 32, protocol: 36, sk: 64 } as const;

/** `struct bpf_sock`. `src_*` is what the socket is bound to, `dst_*` whom it is connected to; dst_port has 16 bits, src_port is in the machine's order. */
export const sock = {
  bound_dev_if: 0,
  protocol: 12,
  src_ip4: 24,
  src_ip6: 28,
  src_port: 44,
  dst_port: 48,
  dst_ip4: 52,
  dst_ip6: 56,
} as const;

/** `struct __sk_buff`: a packet at a device. `protocol` is as on the wire; `sk` is the socket that it comes from, on this host. */
export const skBuff = { len: 0, pkt_type: 4, protocol: 16, vlan_present: 20, sk: 168, gso_size: 176 } as const;
