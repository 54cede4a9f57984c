/**
 * flannel's `udp` backend, made fast: inner IP packets as they are in UDP datagrams, through a TUN device. A process of its own carries them, so that
 * nobody misses a daemon; here it is started, found again, given its peers, and replaced by another one without a gap: device and socket
 * are open in both, and what arrives meanwhile waits in them.
 */
import { rmSync } from 'node:fs';
import type { Logger } from '../../base/clock.ts';
import { exhausted, invalid, MoorError } from '../../base/errors.ts';
import { familyOf } from '../../base/ip.ts';
import type { Tunnel, TunnelSpec, TunnelStatus } from '../../contracts/tunnel.ts';
import type { Fd } from '../../sys/fd.ts';
import { tunName } from '../../sys/tun.ts';
import { openTunQueue } from '../../sys/tun-queue.ts';
import { openTunnelSocket } from '../../sys/tunnel-socket.ts';
import { buildOf, type Carried, endLeftTunnel, kill, lastWords, launch, PROGRAM, reach } from './launch.ts';
import { Link } from './link.ts';
import { PROTOCOL } from './protocol.ts';
import { CAPACITY } from './slots.ts';

/** Milliseconds. A process that ends sooner is not started again at once, but left to the caller. */
const STEADY = 1_000;

export interface UdpTunnelOptions extends TunnelSpec {
  /** Folder of this tunnel alone, made and removed here: its control socket, its pid, its last words. */
  readonly directory: string;
  readonly logger: Logger;
  /** Of the process. */
  readonly program?: URL;
  /** The process goes before other programs, where that is permitted (docs/adr/0018). */
  readonly priority?: boolean;
  /** TCP between hosts of ours may go past the process, in the kernel (docs/adr/0021). */
  readonly fastPath?: boolean;
  /** false: as with a kernel before Linux 6.2, which knows no UDP segments in TUN devices; Debian 12's is one. */
  readonly udpSegments?: boolean;
}

/**
 * Goes on with the process that is there, or starts one. The device is the calling thread's namespace's; it is made when it is not there, and gone with the
 * tunnel then. `local` may be `0.0.0.0` or `::` for any address.
 * @throws conflict when the device or the port is taken; unsupported without /dev/net/tun; exhausted and invalid as `setPeers`
 */
export async function openUdpTunnel(options: UdpTunnelOptions): Promise<Tunnel> {
  const { directory, program = PROGRAM } = options;
  checkPeers(options);
  const left = reach(directory);
  // Before the first wait: the calling thread may be in the device's namespace for the moment only.
  const running = left === null ? begin(directory, openCarried(options), program) : takeOver(options, left);
  const { link, carried } = await running;
  const { refused } = link.hello;
  if (refused !== '')
    options.logger.warn({ device: options.device, reason: refused }, `tunnel ${options.device}: no priority: ${refused}`);
  const tunnel = new UdpTunnel(options, link, carried);
  try {
    await tunnel.setPeers(options);
    return tunnel;
  } catch (error) {
    await tunnel.end();
    throw error;
  }
}

interface Running {
  readonly link: Link;
  readonly carried: Carried;
}

function openCarried({ device, local, udpSegments = true, priority = false }: UdpTunnelOptions): Carried {
  const queue = openTunQueue(device, { udpSegments });
  try {
    return { device, local, tun: queue.fd, udp: openTunnelSocket(local), udpSegments: queue.udpSegments, priority };
  } catch (error) {
    queue.fd.close();
    throw error;
  }
}

function closeCarried({ tun, udp }: Pick<Carried, 'tun' | 'udp'>): void {
  tun.close();
  udp.close();
}

async function begin(directory: string, carried: Carried, program: URL): Promise<Running> {
  try {
    const link = await launch(directory, carried, program);
    // What it has handed over is what it was given.
    closeCarried(link);
    return { link, carried };
  } catch (error) {
    closeCarried(carried);
    throw error;
  }
}

/** The process of an earlier daemon: it goes on, or hands over to one of today's program, or gives way to one at another place. */
async function takeOver(options: UdpTunnelOptions, left: Fd): Promise<Running> {
  const { device, local, directory, logger, program = PROGRAM, priority = false } = options;
  let link: Link;
  try {
    link = await Link.meet(left);
  } catch (error) {
    logger.warn({ device, err: error }, `tunnel ${device}: the process of an earlier daemon does not answer: it is replaced`);
    await kill(directory);
    return await begin(directory, openCarried(options), program);
  }
  const { hello, tun, udp } = link;
  const carried: Carried = { device, local, tun, udp, udpSegments: hello.udpSegments, priority };
  const here = hello.device === device && hello.local.address === local.address && hello.local.port === local.port;
  if (!here || tunName(tun) !== device) {
    closeCarried(carried);
    await link.stop();
    return await begin(directory, openCarried(options), program);
  }
  if (hello.protocol === PROTOCOL && hello.build === buildOf(program) && hello.priority === priority) return { link, carried };
  logger.info({ device, pid: hello.pid }, `tunnel ${device}: a process of another version, or priority, hands over`);
  const next = await begin(directory, carried, program);
  // Both carry packets from here on, until the old one has gone.
  await next.link.setPeers(told(options, options));
  await link.stop();
  return next;
}

function checkPeers({ local, peers }: Pick<TunnelSpec, 'local' | 'peers'>): void {
  if (peers.length > CAPACITY) throw exhausted(`a tunnel has at most ${CAPACITY} peers, not ${peers.length}`);
  for (const { name, endpoint } of peers) {
    if (familyOf(endpoint.address) !== familyOf(local.address))
      throw invalid(`peer ${name} at ${endpoint.address} cannot be reached from ${local.address}: both must be IPv4, or IPv6`);
  }
}

type To = Pick<TunnelSpec, 'peers' | 'underlay'>;

const told = ({ peers, underlay }: To, { fastPath = true }: Pick<UdpTunnelOptions, 'fastPath'>): To => ({
  peers,
  underlay: fastPath ? underlay : '',
});

class UdpTunnel implements Tunnel {
  readonly ended: Promise<void>;
  readonly #options: UdpTunnelOptions;
  readonly #carried: Carried;
  readonly #over = Promise.withResolvers<void>();
  #link: Link;
  #to: To = { peers: [], underlay: '' };
  /** Set while a process is started in the place of one that ended. */
  #revival: Promise<void> = Promise.resolve();
  #state: 'open' | 'let go' | 'ended' = 'open';

  constructor(options: UdpTunnelOptions, link: Link, carried: Carried) {
    this.#options = options;
    this.#link = link;
    this.#carried = carried;
    this.ended = this.#over.promise;
    this.#watch(link);
  }

  async setPeers({ peers, underlay }: To): Promise<void> {
    checkPeers({ local: this.#options.local, peers });
    this.#to = told({ peers, underlay }, this.#options);
    await this.#revival;
    if (this.#state !== 'open') throw new MoorError('cancelled', `The tunnel of ${this.#options.device} has ended`);
    await this.#link.setPeers(this.#to);
  }

  async status(): Promise<TunnelStatus> {
    await this.#revival;
    return await this.#link.status();
  }

  async end(): Promise<void> {
    const { directory } = this.#options;
    await this.#finish('ended');
    await endLeftTunnel(directory);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#finish('let go');
  }

  async #finish(state: 'let go' | 'ended'): Promise<void> {
    if (this.#state !== 'open') return;
    this.#state = state;
    await this.#revival;
    if (state === 'ended') await this.#link.stop();
    else this.#link.letGo();
    closeCarried(this.#carried);
    this.#over.resolve();
  }

  #watch(link: Link): void {
    const born = performance.now();
    void link.ended.then(() => {
      if (this.#state !== 'open' || this.#link !== link) return;
      this.#revival = this.#revive(performance.now() - born);
    });
  }

  /** Device and socket are still open here: what has come since waits in them. @param age of the process that has ended, milliseconds */
  async #revive(age: number): Promise<void> {
    const { device, directory, logger, program = PROGRAM } = this.#options;
    const reason = lastWords(directory) || 'killed';
    try {
      await this.#link.stop();
      if (tunName(this.#carried.tun) !== device) throw new MoorError('not-found', 'its device was removed');
      if (age < STEADY) throw new MoorError('unavailable', reason);
      logger.warn(
        { device, pid: this.#link.hello.pid, reason },
        `tunnel ${device}: its process has ended (${reason}): started again`,
      );
      const link = await launch(directory, this.#carried, program);
      closeCarried(link);
      this.#link = link;
      this.#watch(link);
      await link.setPeers(this.#to);
    } catch (error) {
      await this.#link.stop();
      if (this.#state !== 'open') return;
      logger.error({ device, err: error }, `tunnel ${device}: its process has ended, and cannot be started again`);
      this.#state = 'ended';
      closeCarried(this.#carried);
      rmSync(directory, { recursive: true, force: true });
      this.#over.resolve();
    }
  }
}
