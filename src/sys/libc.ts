/**
 * The C library through koffi: the one gate to the operating system. Each function is declared once, here; arguments and results are
 * plain numbers (`int64_t` for addresses: user space lies below 2^47), text and byte arrays. A call is about 20 ns beside the system
 * call itself.
 */
import koffi from 'koffi';
import { kernelError } from './errors.ts';

const library = koffi.load('libc.so.6');
/** Part of libc.so.6 since glibc 2.34, and then a way to it. */
const realtime = koffi.load('librt.so.1');

/** An address in memory, from `addressOf`. */
export type Address = number;
type Bytes = Uint8Array | null;

export const libc = {
  open: library.func('int open(const char *path, int flags, int mode)') as (path: string, flags: number, mode: number) => number,
  malloc_trim: library.func('int malloc_trim(size_t pad)') as (pad: number) => number,
  gettid: library.func('int gettid()') as () => number,
  sched_getcpu: library.func('int sched_getcpu()') as () => number,
  sched_getaffinity: library.func('int sched_getaffinity(int thread, size_t size, void *mask)') as (
    ...args: [thread: number, size: number, mask: Uint8Array]
  ) => number,
  sched_setaffinity: library.func('int sched_setaffinity(int thread, size_t size, const void *mask)') as (
    ...args: [thread: number, size: number, mask: Uint8Array]
  ) => number,
  sched_setscheduler: library.func('int sched_setscheduler(int thread, int policy, const void *parameter)') as (
    ...args: [thread: number, policy: number, parameter: Uint8Array]
  ) => number,
  sched_yield: library.func('int sched_yield()') as () => number,
  close: library.func('int close(int fd)') as (fd: number) => number,
  read: library.func('int64_t read(int fd, void *data, size_t size)') as (fd: number, data: Uint8Array, size: number) => number,
  write: library.func('int64_t write(int fd, const void *data, size_t size)') as (
    fd: number,
    data: Uint8Array,
    size: number,
  ) => number,
  /** `read` into memory by its address. */
  readAt: library.func('read', 'int64_t', ['int', 'int64_t', 'size_t']) as (fd: number, data: Address, size: number) => number,
  writev: library.func('int64_t writev(int fd, int64_t parts, int count)') as (
    fd: number,
    parts: Address,
    count: number,
  ) => number,
  fcntl: library.func('int fcntl(int fd, int op, int arg)') as (fd: number, op: number, arg: number) => number,
  ioctlNumber: library.func('ioctl', 'int', ['int', 'ulong', 'int64_t']) as (fd: number, request: number, arg: number) => number,
  ioctl: library.func('ioctl', 'int', ['int', 'ulong', 'void *']) as (fd: number, request: number, data: Bytes) => number,
  socket: library.func('int socket(int domain, int type, int protocol)') as (d: number, type: number, protocol: number) => number,
  bind: library.func('int bind(int fd, const void *address, uint32_t size)') as (
    fd: number,
    a: Uint8Array,
    size: number,
  ) => number,
  connect: library.func('int connect(int fd, const void *address, uint32_t size)') as (
    fd: number,
    a: Uint8Array,
    size: number,
  ) => number,
  listen: library.func('int listen(int fd, int backlog)') as (fd: number, backlog: number) => number,
  recv: library.func('int64_t recv(int fd, void *data, size_t size, int flags)') as (
    ...args: [fd: number, data: Uint8Array, size: number, flags: number]
  ) => number,
  shutdown: library.func('int shutdown(int fd, int how)') as (fd: number, how: number) => number,
  openat2: library.func('syscall', 'int64_t', ['int64_t', 'int64_t', 'const void *', 'void *', 'int64_t']) as (
    ...args: [number: number, directory: number, path: Uint8Array, how: Uint8Array, size: number]
  ) => number,
  lgetxattr: library.func('int64_t lgetxattr(const void *path, const char *name, void *value, size_t size)') as (
    ...args: [path: Uint8Array, name: string, value: Uint8Array, size: number]
  ) => number,
  lsetxattr: library.func('int lsetxattr(const void *path, const char *name, const void *value, size_t size, int flags)') as (
    ...args: [path: Uint8Array, name: string, value: Uint8Array, size: number, flags: number]
  ) => number,
  send: library.func('int64_t send(int fd, const void *data, size_t size, int flags)') as (
    ...args: [fd: number, data: Uint8Array, size: number, flags: number]
  ) => number,
  sendto: library.func(
    'int64_t sendto(int fd, const void *data, size_t size, int flags, const void *address, uint32_t length)',
  ) as (...args: [fd: number, data: Uint8Array, size: number, flags: number, address: Uint8Array, length: number]) => number,
  recvmsg: library.func('int64_t recvmsg(int fd, int64_t message, int flags)') as (
    fd: number,
    m: Address,
    flags: number,
  ) => number,
  setsockopt: library.func('int setsockopt(int fd, int level, int name, const void *value, uint32_t size)') as (
    ...args: [fd: number, level: number, name: number, value: Uint8Array, size: number]
  ) => number,
  getsockopt: library.func('int getsockopt(int fd, int level, int name, void *value, void *size)') as (
    ...args: [fd: number, level: number, name: number, value: Uint8Array, size: Uint32Array]
  ) => number,
  getsockname: library.func('int getsockname(int fd, void *address, void *size)') as (
    ...args: [fd: number, address: Uint8Array, size: Uint32Array]
  ) => number,
  getrlimit: library.func('int getrlimit(int resource, void *limit)') as (resource: number, limit: Uint8Array) => number,
  setrlimit: library.func('int setrlimit(int resource, const void *limit)') as (resource: number, limit: Uint8Array) => number,
  accept4: library.func('int accept4(int fd, int64_t address, int64_t length, int flags)') as (
    ...args: [fd: number, address: Address, length: Address, flags: number]
  ) => number,
  recvmmsg: library.func('int recvmmsg(int fd, int64_t messages, uint32_t count, int flags, int64_t timeout)') as (
    ...args: [fd: number, messages: Address, count: number, flags: number, timeout: number]
  ) => number,
  sendmmsg: library.func('int sendmmsg(int fd, int64_t messages, uint32_t count, int flags)') as (
    ...args: [fd: number, messages: Address, count: number, flags: number]
  ) => number,
  epollCreate: library.func('int epoll_create1(int flags)') as (flags: number) => number,
  epollCtl: library.func('int epoll_ctl(int epoll, int op, int fd, void *event)') as (
    ...args: [epoll: number, op: number, fd: number, event: Bytes]
  ) => number,
  epollWait: library.func('int epoll_wait(int epoll, int64_t events, int count, int timeout)') as (
    ...args: [epoll: number, events: Address, count: number, timeout: number]
  ) => number,
  unshare: library.func('int unshare(int flags)') as (flags: number) => number,
  setns: library.func('int setns(int fd, int type)') as (fd: number, type: number) => number,
  mount: library.func('int mount(const char *source, const char *target, const char *type, ulong flags, const char *data)') as (
    ...args: [source: string | null, target: string, type: string | null, flags: number, data: string | null]
  ) => number,
  umount2: library.func('int umount2(const char *target, int flags)') as (target: string, flags: number) => number,
  sethostname: library.func('int sethostname(const void *name, size_t size)') as (name: Uint8Array, size: number) => number,
  poll: library.func('int poll(void *fds, ulong count, int timeout)') as (
    fds: Uint8Array,
    count: number,
    timeout: number,
  ) => number,
  eventfd: library.func('int eventfd(uint32_t initial, int flags)') as (initial: number, flags: number) => number,
  syscall: library.func('syscall', 'int64_t', ['int64_t', 'int64_t', 'int64_t', 'int64_t', 'int64_t']) as (
    ...args: [number: number, a: number, b: number, c: number, d: number]
  ) => number,
  syscall5: library.func('syscall', 'int64_t', ['int64_t', 'int64_t', 'int64_t', 'int64_t', 'int64_t', 'int64_t']) as (
    ...args: [number: number, a: number, b: number, c: number, d: number, e: number]
  ) => number,
  madvise: library.func('int madvise(int64_t start, size_t size, int advice)') as (
    start: Address,
    size: number,
    advice: number,
  ) => number,
  getrandom: library.func('int64_t getrandom(void *into, size_t size, uint32_t flags)') as (
    ...args: [into: Uint8Array, size: number, flags: number]
  ) => number,
  calloc: library.func('int64_t calloc(size_t count, size_t size)') as (count: number, size: number) => Address,
  free: library.func('void free(int64_t block)') as (block: Address) => void,
  memcpy: library.func('int64_t memcpy(int64_t to, const void *from, size_t size)') as (
    to: Address,
    from: Uint8Array,
    size: number,
  ) => Address,
  aioWrite: realtime.func('int aio_write(int64_t block)') as (block: Address) => number,
  aioError: realtime.func('int aio_error(int64_t block)') as (block: Address) => number,
  aioReturn: realtime.func('int64_t aio_return(int64_t block)') as (block: Address) => number,
  signal: library.func('int64_t signal(int number, int64_t handler)') as (number: number, handler: number) => number,
  sigprocmask: library.func('int sigprocmask(int how, const void *set, void *old)') as (
    how: number,
    set: Uint8Array,
    old: null,
  ) => number,
  execvpe: library.func('int execvpe(const char *file, const char **argv, const char **env)') as (
    file: string,
    argv: readonly (string | null)[],
    env: readonly (string | null)[],
  ) => number,
};

/** errno of the last call on this thread. */
export const lastErrno = (): number => koffi.errno();

/** Where a buffer lies. It stays there as long as it is referenced; keep it so. */
export const addressOf = (bytes: Uint8Array<ArrayBuffer>): Address => Number(koffi.address(bytes));

/**
 * Passes a result through, or throws what errno says.
 * @param operation for the message, in words of a command line: `mount /proc/self/ns/net /run/x`
 * @throws MoorError with `kernel` detail when the result is negative
 */
export function check(result: number, operation: string | (() => string)): number {
  if (result >= 0) return result;
  const errno = lastErrno();
  throw kernelError(typeof operation === 'string' ? operation : operation(), errno);
}
