/** Numbers of system calls under their C names, one object per header. A test (netlink/headers.test.ts) compiles the headers and compares. */

/** <fcntl.h> */
export const fcntlH = {
  O_RDONLY: 0,
  O_WRONLY: 1,
  O_RDWR: 2,
  O_CREAT: 0o100,
  O_EXCL: 0o200,
  O_NONBLOCK: 0o4000,
  O_CLOEXEC: 0o2000000,
  O_DIRECTORY: 0o200000,
  O_NOFOLLOW: 0o400000,
  O_PATH: 0o10000000,
  F_SETFD: 2,
  F_GETFL: 3,
  F_SETFL: 4,
  F_DUPFD_CLOEXEC: 1030,
} as const;

/** <sched.h> */
export const schedH = { CLONE_NEWNS: 0x20000, CLONE_NEWUTS: 0x4000000, CLONE_NEWNET: 0x40000000 } as const;

/** <sys/mount.h> */
export const mountH = {
  MS_RDONLY: 1,
  MS_NOSUID: 2,
  MS_NODEV: 4,
  MS_NOEXEC: 8,
  MS_BIND: 4096,
  MS_REC: 16384,
  MS_SLAVE: 1 << 19,
  MNT_DETACH: 2,
  UMOUNT_NOFOLLOW: 8,
} as const;

/** <linux/magic.h> and <linux/nsfs.h> */
export const nsfsH = { NSFS_MAGIC: 0x6e736673, NS_GET_NSTYPE: 0xb703 } as const;

/** <sys/socket.h> */
export const socketH = {
  AF_UNIX: 1,
  AF_INET: 2,
  AF_INET6: 10,
  AF_NETLINK: 16,
  AF_PACKET: 17,
  SOCK_STREAM: 1,
  SOCK_DGRAM: 2,
  SOCK_SEQPACKET: 5,
  SOCK_RAW: 3,
  SOCK_NONBLOCK: 0o4000,
  SHUT_RD: 0,
  SHUT_WR: 1,
  SOCK_CLOEXEC: 0o2000000,
  SOL_SOCKET: 1,
  SO_REUSEADDR: 2,
  SO_ERROR: 4,
  SO_RCVBUF: 8,
  SO_SNDBUFFORCE: 32,
  SO_RCVBUFFORCE: 33,
  SO_PEERCRED: 17,
  SO_BINDTOIFINDEX: 62,
  MSG_TRUNC: 0x20,
  MSG_DONTWAIT: 0x40,
  MSG_NOSIGNAL: 0x4000,
  MSG_CMSG_CLOEXEC: 0x40000000,
  SCM_RIGHTS: 1,
} as const;

/** <netinet/in.h> */
export const inH = { IPPROTO_TCP: 6, IPPROTO_UDP: 17, IPPROTO_IPV6: 41, IPPROTO_SCTP: 132, IPV6_V6ONLY: 26 } as const;

/** <linux/if_ether.h> */
export const packetH = { ETH_P_ALL: 3 } as const;

/** <sys/resource.h> */
export const resourceH = { RLIMIT_NOFILE: 7 } as const;

/** <linux/netlink.h>: socket options */
export const netlinkSocketH = {
  SOL_NETLINK: 270,
  NETLINK_ADD_MEMBERSHIP: 1,
  NETLINK_LISTEN_ALL_NSID: 8,
  NETLINK_CAP_ACK: 10,
  NETLINK_EXT_ACK: 11,
  NETLINK_GET_STRICT_CHK: 12,
} as const;

/** <linux/sockios.h> */
export const sockiosH = {
  SIOCGIFNAME: 0x8910,
  SIOCGIFMTU: 0x8921,
  SIOCGIFHWADDR: 0x8927,
  SIOCGIFINDEX: 0x8933,
  SIOCSIFTXQLEN: 0x8943,
  SIOCETHTOOL: 0x8946,
} as const;

/** <linux/ethtool.h> */
export const ethtoolH = { ETHTOOL_GDRVINFO: 0x03, ETHTOOL_GTXCSUM: 0x16, ETHTOOL_STXCSUM: 0x17 } as const;

/** <poll.h> */
export const pollH = { POLLIN: 1 } as const;

/** <netinet/in.h> */
export const inetH = { IPPROTO_IP: 0, IP_FREEBIND: 15 } as const;

/** <linux/in.h>, <linux/in6.h>, <linux/icmp.h>, <linux/icmpv6.h>, <sys/socket.h> */
export const probeH = {
  IPPROTO_ICMP: 1,
  IPPROTO_ICMPV6: 58,
  SOL_RAW: 255,
  ICMP_FILTER: 1,
  ICMPV6_FILTER: 1,
  IP_MTU_DISCOVER: 10,
  IP_PMTUDISC_PROBE: 3,
  IPV6_MTU_DISCOVER: 23,
  IPV6_PMTUDISC_PROBE: 3,
  IPV6_DONTFRAG: 62,
} as const;

/** <sys/epoll.h> */
export const epollH = {
  EPOLLIN: 1,
  EPOLLOUT: 4,
  EPOLLERR: 8,
  EPOLLHUP: 16,
  EPOLLRDHUP: 0x2000,
  EPOLL_CTL_ADD: 1,
  EPOLL_CTL_DEL: 2,
  EPOLL_CTL_MOD: 3,
  EPOLL_CLOEXEC: 0o2000000,
} as const;

/** <sys/eventfd.h> */
export const eventfdH = { EFD_NONBLOCK: 0o4000, EFD_CLOEXEC: 0o2000000 } as const;

/** <sys/mman.h> */
export const mmanH = { MADV_DONTNEED: 4 } as const;

/** <sys/syscall.h>: without a wrapper in every C library that we meet; the same on all architectures */
export const syscallH = {
  SYS_pidfd_send_signal: 424,
  SYS_fsopen: 430,
  SYS_fsconfig: 431,
  SYS_fsmount: 432,
  SYS_pidfd_open: 434,
  SYS_openat2: 437,
} as const;

/** <linux/mount.h> */
export const newMountH = { FSCONFIG_CMD_CREATE: 6, FSOPEN_CLOEXEC: 1, FSMOUNT_CLOEXEC: 1 } as const;

/** <linux/openat2.h> */
export const openat2H = { RESOLVE_NO_MAGICLINKS: 2, RESOLVE_IN_ROOT: 16 } as const;

/** <signal.h> */
export const signalH = { SIG_SETMASK: 2 } as const;

/** <linux/if_tun.h> */
export const ifTunH = {
  IFF_TUN: 1,
  IFF_TAP: 2,
  IFF_NO_PI: 0x1000,
  IFF_VNET_HDR: 0x4000,
  TUNSETIFF: 0x400454ca,
  TUNSETPERSIST: 0x400454cb,
  TUNSETOWNER: 0x400454cc,
  TUNSETOFFLOAD: 0x400454d0,
  TUNGETIFF: 0x800454d2,
} as const;
