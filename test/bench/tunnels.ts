/**
 * Tunnels of others between two hosts: socat, tinc, Nebula, wireguard-go, each as its manual says, without compression. MTUs are their own
 * defaults, or what leaves no outer packet of 1500 bytes in two pieces.
 */
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { PEER_ENV, PROGRAMS } from './peers.ts';
import { enter, inside, other, outer, see, settled, SIDES, type Side, subnet } from './sides.ts';

/** What they have of a pair of hosts: processes in their network namespaces, and a folder that goes with the pair. */
export interface Site {
  readonly hosts: Readonly<Record<Side, number>>;
  readonly stack: AsyncDisposableStack;
}

export interface Tunnel {
  /** Of the device and of the containers behind it, bytes. */
  readonly mtu: number;
  /** Joins the hosts of a site by devices that lead to the other one's containers. */
  readonly open: (site: Site) => Promise<void>;
}

/** tinc's default ciphers are Blowfish and SHA-1. Of 1500: IPv4 20, UDP 8, sequence 4, Ethernet header 14, digest 4, padding 8 (tinc.conf(5)). */
const TINC_MTU = 1440;
const PLAIN = 'Cipher = none\nDigest = none\nMACLength = 0\n';

export const TUNNELS = {
  socat: { mtu: 1472, open: socat },
  tinc: { mtu: TINC_MTU, open: (site) => tinc(site, '') },
  'tinc, no crypto': { mtu: TINC_MTU, open: (site) => tinc(site, PLAIN) },
  nebula: { mtu: 1300, open: nebula },
  'wireguard-go': { mtu: 1420, open: wireguard },
} as const satisfies Readonly<Record<string, Tunnel>>;

const SOCAT_PORT = 9000;

async function socat({ hosts, stack }: Site): Promise<void> {
  for (const side of SIDES) {
    const ends = [
      `UDP4-DATAGRAM:${outer(other(side), 4)}:${SOCAT_PORT},bind=${outer(side, 4)}:${SOCAT_PORT}`,
      `TUN:10.245.0.${side}/32,tun-name=tun0,iff-no-pi,iff-up`,
    ];
    start({ pid: hosts[side], stack }, PROGRAMS.socat, ...ends);
    await lead(hosts[side], 'tun0', side);
    inside(hosts[side], `ip link set tun0 mtu ${TUNNELS.socat.mtu}`);
  }
}

async function tinc({ hosts, stack }: Site, more: string): Promise<void> {
  const folder = folderFor(stack);
  const known: string[] = [];
  for (const side of SIDES) {
    const home = `${folder}/h${side}`;
    mkdirSync(`${home}/hosts`, { recursive: true });
    const connect = side === 1 ? 'ConnectTo = h2\n' : '';
    writeFileSync(`${home}/tinc.conf`, `Name = h${side}\nInterface = tinc0\nDeviceType = tun\nAddressFamily = ipv4\n${connect}`);
    const subnets = `Subnet = ${subnet(side, 4)}\n`;
    writeFileSync(`${home}/hosts/h${side}`, `Address = ${outer(side, 4)}\n${subnets}Compression = 0\n${more}`);
    execFileSync(PROGRAMS.tincd, ['-c', home, '-K', '2048'], { env: PEER_ENV, stdio: ['ignore', 'ignore', 'pipe'] });
    known.push(readFileSync(`${home}/hosts/h${side}`, 'utf8'));
  }
  for (const side of SIDES) {
    const home = `${folder}/h${side}`;
    writeFileSync(`${home}/hosts/h${other(side)}`, known[other(side) - 1] ?? '');
    start({ pid: hosts[side], stack }, PROGRAMS.tincd, '-c', home, '-D', `--pidfile=${home}/pid`, `--logfile=${home}/log`);
    await lead(hosts[side], 'tinc0', side);
    inside(hosts[side], `ip link set tinc0 mtu ${TINC_MTU}`);
  }
}

async function nebula({ hosts, stack }: Site): Promise<void> {
  const folder = folderFor(stack);
  const overlay = (side: Side): string => `192.168.100.${side}`;
  const certify = (...args: readonly string[]): void =>
    void execFileSync(PROGRAMS.nebulaCert, args, { env: PEER_ENV, cwd: folder, stdio: ['ignore', 'ignore', 'inherit'] });
  certify('ca', '-name', 'bench');
  for (const side of SIDES) {
    const peer = other(side);
    certify('sign', '-name', `h${side}`, '-ip', `${overlay(side)}/24`, '-subnets', subnet(side, 4));
    const everything = [{ port: 'any', proto: 'any', host: 'any' }];
    const config = {
      pki: { ca: `${folder}/ca.crt`, cert: `${folder}/h${side}.crt`, key: `${folder}/h${side}.key` },
      static_host_map: { [overlay(peer)]: [`${outer(peer, 4)}:4242`] },
      lighthouse: { am_lighthouse: false, hosts: [] },
      listen: { host: '0.0.0.0', port: 4242 },
      tun: { dev: 'neb0', unsafe_routes: [{ route: subnet(peer, 4), via: overlay(peer) }] },
      firewall: { outbound: everything, inbound: everything },
      logging: { level: 'error' },
    };
    // JSON is YAML.
    writeFileSync(`${folder}/h${side}.yml`, JSON.stringify(config));
    start({ pid: hosts[side], stack }, PROGRAMS.nebula, '-config', `${folder}/h${side}.yml`);
    await settled(() => {
      const routes = see(hosts[side], 'ip route show dev neb0');
      if (!routes.includes(subnet(peer, 4))) throw new Error(`nebula has made no route: ${routes}`);
    });
  }
}

/** With a TUN device of its own, whatever the kernel has. */
async function wireguard({ hosts, stack }: Site): Promise<void> {
  const folder = folderFor(stack);
  const wg = (args: readonly string[], input = ''): string =>
    execFileSync(PROGRAMS.wg, args, { env: PEER_ENV, encoding: 'utf8', stdio: ['pipe', 'pipe', 'pipe'], input }).trim();
  const keys = { 1: wg(['genkey']), 2: wg(['genkey']) };
  for (const side of SIDES) {
    const peer = other(side);
    // The socket by which it is configured has the device's name, and both hosts see the same /run.
    const device = `wgo${side}`;
    // In the foreground, without the advice to take the kernel's.
    start({ pid: hosts[side], stack, env: { LOG_LEVEL: 'error', WG_PROCESS_FOREGROUND: '1' } }, PROGRAMS.wireguardGo, device);
    writeFileSync(`${folder}/${device}.key`, keys[side]);
    const known = ['peer', wg(['pubkey'], keys[peer]), 'endpoint', `${outer(peer, 4)}:51820`, 'allowed-ips', subnet(peer, 4)];
    await settled(() => void wg(['set', device, 'listen-port', '51820', 'private-key', `${folder}/${device}.key`, ...known]));
    inside(hosts[side], `ip link set ${device} up`);
    await lead(hosts[side], device, side);
  }
}

/** Starts what runs as long as the pair. */
function start(
  { pid, stack, env = {} }: { readonly pid: number; readonly stack: AsyncDisposableStack; readonly env?: NodeJS.ProcessEnv },
  ...line: readonly string[]
): void {
  const [command = '', ...args] = [...enter(pid), ...line];
  const child = spawn(command, args, { stdio: ['ignore', 'ignore', 'inherit'], env: { ...PEER_ENV, ...env } });
  const ended = once(child, 'exit');
  stack.defer(async () => {
    child.kill('SIGKILL');
    await ended;
  });
}

/** Waits for the device and sends by it what is for the other host's containers. */
async function lead(pid: number, device: string, side: Side): Promise<void> {
  await settled(() => void see(pid, `ip link show ${device}`));
  inside(pid, `ip link set ${device} up`);
  inside(pid, `ip route replace ${subnet(other(side), 4)} dev ${device}`);
}

function folderFor(stack: AsyncDisposableStack): string {
  const folder = mkdtempSync('/tmp/bench-tunnel-');
  stack.defer(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}
