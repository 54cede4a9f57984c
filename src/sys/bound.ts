/** Sockets that are bound and do nothing else: they keep a port from other programs. */
import { inH, resourceH, socketH } from './constants.ts';
import { errnoName, kernelError } from './errors.ts';
import { aside, Fd } from './fd.ts';
import { setOption } from './inet.ts';
import { check, lastErrno, libc } from './libc.ts';

const { AF_INET, AF_INET6, SOCK_STREAM, SOCK_DGRAM, SOCK_CLOEXEC, SOL_SOCKET, SHUT_RD } = socketH;
const { SO_REUSEADDR, SO_RCVBUF, SO_BINDTOIFINDEX } = socketH;
const { IPPROTO_TCP, IPPROTO_UDP, IPPROTO_SCTP, IPPROTO_IPV6, IPV6_V6ONLY } = inH;

/** `struct sockaddr_in`: u16 family, u16 port (network order), address at 4. `struct sockaddr_in6`: address at 8, 28 bytes in all. */
const SOCKADDR_IN = 16;
const SOCKADDR_IN6 = 28;

const KINDS = {
  tcp: { type: SOCK_STREAM, protocol: IPPROTO_TCP },
  udp: { type: SOCK_DGRAM, protocol: IPPROTO_UDP },
  sctp: { type: SOCK_STREAM, protocol: IPPROTO_SCTP },
} as const;

export type BoundProtocol = keyof typeof KINDS;

/** Why there is no socket: the kernel lacks the protocol or family, somebody has the port, the host does not have the address. */
export type BindRefusal = 'unsupported' | 'in-use' | 'no-address';

/**
 * Binds, in the calling thread's namespace, without listening: who asks meanwhile is refused, and not left hanging. IPv6 is IPv6 alone.
 * @param address 4 or 16 bytes in network order; zeros: every address
 * @throws exhausted (EMFILE), forbidden (EACCES)
 */
export function bindPort(protocol: BoundProtocol, address: Uint8Array, port: number): Fd | BindRefusal {
  const first = tryBind(protocol, { address, port }, false);
  // A server that was there a moment ago leaves connections that wait for their end (TIME_WAIT), and do not keep a new one away.
  return first === 'in-use' && protocol === 'tcp' ? tryBind(protocol, { address, port }, true) : first;
}

interface Place {
  readonly address: Uint8Array;
  readonly port: number;
}

/**
 * Without SO_REUSEADDR nobody can bind beside us afterwards, with it or not. With it the kernel would let others bind who set it too, as
 * every server does, and would tell them only when they listen; and us it would not tell of a holder who set it and does not listen. So we
 * listen for a moment, which looks at everybody and takes the port for us alone (inet_csk_get_port, inet_csk_update_fastreuse), and
 * stop again.
 */
function tryBind(protocol: BoundProtocol, { address, port }: Place, reuse: boolean): Fd | BindRefusal {
  const family = address.length === 4 ? AF_INET : AF_INET6;
  const { type, protocol: number } = KINDS[protocol];
  const socket = libc.socket(family, type | SOCK_CLOEXEC, number);
  if (socket < 0) return refusal(`socket ${protocol}`);
  const fd = new Fd(socket, `port ${port}/${protocol}`);
  try {
    if (family === AF_INET6) setOption(fd, IPPROTO_IPV6, { name: IPV6_V6ONLY, value: 1 });
    // The least that the kernel gives: what comes in a moment without rules is for nobody.
    if (protocol === 'udp') setOption(fd, SOL_SOCKET, { name: SO_RCVBUF, value: 0 });
    if (reuse) setOption(fd, SOL_SOCKET, { name: SO_REUSEADDR, value: 1 });
    const bytes = sockaddr(family, address, port);
    const taken =
      libc.bind(fd.number, bytes, bytes.length) < 0 ||
      (reuse && (libc.listen(fd.number, 0) < 0 || libc.shutdown(fd.number, SHUT_RD) < 0));
    if (taken) {
      const why = refusal(`bind ${protocol} port ${port}`);
      fd.close();
      return why;
    }
    if (reuse) setOption(fd, SOL_SOCKET, { name: SO_REUSEADDR, value: 0 });
    if (family === AF_INET6 && protocol === 'udp') setOption(fd, SOL_SOCKET, { name: SO_BINDTOIFINDEX, value: NO_DEVICE });
    return aside(fd);
  } catch (error) {
    fd.close();
    throw error;
  }
}

/**
 * The highest index, which no device has. A socket that is bound to it gets no datagram, so who sends one to [::1] where that cannot be published
 * (drivers/bridge/host.ts) is refused (ICMPv6) and not left hanging. It keeps the port all the same, but for programs that
 * bind to a device of their own (udp_lib_lport_inuse(), net/ipv4/udp.c): no reason to do so for IPv4, which is published everywhere.
 */
const NO_DEVICE = 2 ** 31 - 1;

function sockaddr(family: number, address: Uint8Array, port: number): Uint8Array {
  const bytes = new Uint8Array(family === AF_INET ? SOCKADDR_IN : SOCKADDR_IN6);
  const view = new DataView(bytes.buffer);
  view.setUint16(0, family, true);
  view.setUint16(2, port, false);
  bytes.set(address, family === AF_INET ? 4 : 8);
  return bytes;
}

function refusal(operation: string): BindRefusal {
  const errno = lastErrno();
  switch (errnoName(errno)) {
    case 'EADDRINUSE':
      return 'in-use';
    case 'EADDRNOTAVAIL':
      return 'no-address';
    case 'EAFNOSUPPORT':
    case 'EPROTONOSUPPORT':
    case 'ESOCKTNOSUPPORT':
      return 'unsupported';
    default:
      throw kernelError(operation, errno);
  }
}

/** `struct rlimit`: two u64, the soft limit and the hard one. */
const RLIMIT = 16;

/**
 * Lets this process have as many open files, if it does not and may: the hard limit is raised too, up to the host's (fs.nr_open). Programs
 * that are started afterwards inherit it.
 * @returns how many it may have
 */
export function allowFiles(count: number): number {
  const limit = new BigUint64Array(RLIMIT / 8);
  const bytes = new Uint8Array(limit.buffer);
  check(libc.getrlimit(resourceH.RLIMIT_NOFILE, bytes), 'getrlimit RLIMIT_NOFILE');
  const [soft = 0n, hard = 0n] = limit;
  const wanted = BigInt(count);
  if (soft >= wanted) return Number(soft);
  limit.set([wanted, hard > wanted ? hard : wanted]);
  return libc.setrlimit(resourceH.RLIMIT_NOFILE, bytes) === 0 ? count : Number(soft);
}
