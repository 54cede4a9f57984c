/** Looks at the private host with `ip` and `nft`, and at the whole machine for what might be left. */
import type { TestDaemon } from '../../test/support/daemon.ts';
import type { DrawnLink, DrawnSandbox, Picture } from './drawing.ts';

/** Runs a command somewhere. */
export type Runner = (command: string, ...args: readonly string[]) => Promise<{ readonly stdout: string }>;

interface IpLink {
  readonly ifname: string;
  readonly address?: string;
  readonly master?: string;
  readonly ifalias?: string;
  readonly addr_info?: readonly { readonly local: string; readonly prefixlen: number; readonly scope: string }[];
}

/** Links with their addresses, without what the kernel gave them itself (link-local). */
async function linksOf(run: Runner, prefix: readonly string[] = []): Promise<readonly DrawnLink[]> {
  const { stdout } = await run('env', ...prefix, 'ip', '-j', 'address', 'show');
  return (JSON.parse(stdout) as readonly IpLink[]).map(({ ifname, address, master, addr_info: addresses = [] }) => ({
    name: ifname,
    addresses: addresses.filter(({ scope }) => scope !== 'link').map(({ local, prefixlen }) => `${local}/${prefixlen}`),
    ...(address === undefined ? {} : { mac: address }),
    master: master ?? '',
  }));
}

/** What `moor ls --json` says of a sandbox, as far as it is drawn. */
interface ListedSandbox {
  readonly name: string;
  readonly netns: { readonly type: string; readonly path?: string };
  readonly endpoints: readonly { readonly interfaceName: string; readonly hostInterfaceName: string }[];
}

async function sandboxOf(run: Runner, { name, netns, endpoints }: ListedSandbox): Promise<DrawnSandbox> {
  const links = await linksOf(run, ['nsenter', `--net=${netns.path ?? ''}`]);
  const hostEnds = new Map(endpoints.map(({ interfaceName, hostInterfaceName }) => [interfaceName, hostInterfaceName]));
  return {
    name,
    links: links.flatMap((link) => (hostEnds.has(link.name) ? [{ link, hostEnd: hostEnds.get(link.name) ?? '' }] : [])),
  };
}

interface Known {
  readonly title?: string;
  /** What is at the other end of links that lead out of the host, by their names. */
  readonly leadsTo: ReadonlyMap<string, string>;
  /** Namespace that an overlay network has on the host, with a bridge of its own; '' for none. */
  readonly segment?: string;
  readonly network?: string;
}

/** A private host, with its networks and sandboxes. */
export async function pictureOf(
  { moor, inside }: TestDaemon,
  { title = 'host', leadsTo, segment = '', network = '' }: Known,
): Promise<Picture> {
  const listed = JSON.parse((await moor('ls', '--json')).stdout) as readonly ListedSandbox[];
  const networks = (await moor('network', 'ls', '--no-trunc', '--format', '{{.ID}} {{.Name}}')).stdout.trim().split('\n');
  const names = networks
    .map((line) => line.split(' ', 2))
    .map(([id = '', name = '']) => [name === 'bridge' ? 'moor0' : `br-${id.slice(0, 12)}`, name] as const);
  const set = (await inside('nft', 'list', 'set', 'inet', 'moor', 'masqueraded')).stdout;
  const inSegment = segment === '' ? [] : await linksOf(inside, ['nsenter', `--net=${segment}`]);
  const host = [...(await linksOf(inside)), ...inSegment].map((link) => {
    const there = leadsTo.get(link.name);
    return there === undefined ? link : { ...link, leadsTo: there };
  });
  return {
    title,
    host,
    sandboxes: await Promise.all(listed.map((sandbox) => sandboxOf(inside, sandbox))),
    networks: new Map([...names, ...(segment === '' ? [] : [['br0', network] as const])]),
    masqueraded: new Set([...set.matchAll(/"([^"]+)"/g)].map(([, name = '']) => name)),
  };
}

/**
 * Everything that a daemon could leave behind in a network and mount namespace, as text to be compared. Link-local addresses and routes
 * are left out: the kernel makes them at a time of its own.
 */
export async function traces(run: Runner): Promise<string> {
  const script = [
    'ip -br link',
    'ip -br address',
    'ip route show table all; ip -6 route show table all; ip rule',
    'nft list ruleset',
    'ls /run/netns /run/moor /var/lib/moor 2>&1',
    'findmnt -rno TARGET',
    'sysctl -a 2>/dev/null | grep -E "^net.*(forwarding|ip_forward|disable_ipv6|gc_thresh)"',
  ].join('; ');
  const { stdout } = await run('sh', '-c', script);
  return stdout
    .split('\n')
    .filter((line) => !/\bf[ef][0-9a-f]{2}::/.test(line))
    .join('\n');
}

/**
 * Command lines of the processes that run in a PID namespace. What has ended and waits to be reaped is left out.
 */
export async function processesOf(run: Runner): Promise<string> {
  const { stdout } = await run('ps', '-e', '-o', 'args=');
  return stdout
    .split('\n')
    .filter((line) => !line.startsWith('ps -e') && !line.endsWith('<defunct>'))
    .join('\n');
}

/** Lines that only one of two texts has, as in a diff. */
export function difference(before: string, after: string): readonly string[] {
  const [old, now] = [before.split('\n'), after.split('\n')];
  return [
    ...old.filter((line) => !now.includes(line)).map((line) => `- ${line}`),
    ...now.filter((line) => !old.includes(line)).map((line) => `+ ${line}`),
  ];
}
