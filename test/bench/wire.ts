/** A machine beside a contestant's host: a namespace at the other end of a wire, with nothing in it but an address. */
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';

/** For documentation (RFC 5737). */
const HOST = '192.0.2.1';
const REMOTE = '192.0.2.2';

export interface Wire extends AsyncDisposable {
  /** Command line that runs what follows it on the remote machine. */
  readonly remote: readonly string[];
  /** The same on the host. */
  readonly host: readonly string[];
  /** The host's address on the wire. The remote machine has a route to all others by it. */
  readonly address: string;
  readonly remoteAddress: string;
}

/** @param holder pid of a process in the network namespace of the host */
export async function connectRemote(holder: number): Promise<Wire> {
  const child = spawn('unshare', ['--net', 'sh', '-c', 'echo ready; exec sleep infinity'], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  await once(child.stdout, 'data');
  const enter = (pid: number | undefined): readonly string[] => ['nsenter', '-t', String(pid), '--net', '--'];
  const [host, remote] = [enter(holder), enter(child.pid)];
  const ip = ([command = '', ...prefix]: readonly string[], line: string): void =>
    void execFileSync(command, [...prefix, 'ip', ...line.split(' ')], { stdio: ['ignore', 'ignore', 'inherit'] });
  ip(host, `link add up0 type veth peer name eth0 netns ${child.pid}`);
  ip(host, `address add ${HOST}/24 dev up0`);
  ip(host, 'link set up0 up');
  ip(remote, 'link set lo up');
  ip(remote, `address add ${REMOTE}/24 dev eth0`);
  ip(remote, 'link set eth0 up');
  ip(remote, `route add default via ${HOST}`);
  return {
    remote,
    host,
    address: HOST,
    remoteAddress: REMOTE,
    // The namespace goes with its last process, and the wire with that.
    async [Symbol.asyncDispose]() {
      const ended = once(child, 'exit');
      child.kill('SIGKILL');
      await ended;
    },
  };
}
