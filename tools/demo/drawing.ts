/** A drawing of what is there, from what the kernel says (`ip -j`), with the names that moor gave to it. */

export interface DrawnLink {
  readonly name: string;
  readonly addresses: readonly string[];
  readonly mac?: string;
  /** Bridge it is a port of; '' for none. */
  readonly master: string;
  /** What is at the other end, for a link that leads out of the host. */
  readonly leadsTo?: string;
}

export interface DrawnSandbox {
  readonly name: string;
  /** Links inside, beside the name of their other end on the host. */
  readonly links: readonly { readonly link: DrawnLink; readonly hostEnd: string }[];
}

export interface Picture {
  /** What stands at the root; "host" by default. */
  readonly title?: string;
  readonly host: readonly DrawnLink[];
  readonly sandboxes: readonly DrawnSandbox[];
  /** Names of networks by their bridge. */
  readonly networks: ReadonlyMap<string, string>;
  /** Bridges whose traffic to the world gets the host's address. */
  readonly masqueraded: ReadonlySet<string>;
}

interface Branch {
  readonly text: string;
  readonly children: readonly Branch[];
}

/** @returns lines of a tree: the host, its uplink and bridges, and behind each port the sandbox it leads to */
export function draw({ title = 'host', host, sandboxes, networks, masqueraded }: Picture): readonly string[] {
  const behind = new Map(
    sandboxes.flatMap(({ name, links }) => links.map(({ link, hostEnd }) => [hostEnd, { name, link }] as const)),
  );
  const port = (link: DrawnLink): Branch => {
    const inside = behind.get(link.name);
    if (!inside) return { text: link.leadsTo === undefined ? link.name : `${link.name} ═══ [ ${link.leadsTo} ]`, children: [] };
    const { name, link: far } = inside;
    const box = [`${far.name}  ${far.addresses.join(' ')}${far.mac === undefined ? '' : `  ${far.mac}`}`];
    return { text: `${link.name} ═══ [ ${name}: ${box.join(', ')} ]`, children: [] };
  };
  const roots = host
    .filter(({ master, name }) => master === '' && name !== 'lo' && !behind.has(name))
    .map((link): Branch => {
      const network = networks.get(link.name);
      const words = [
        link.name,
        link.addresses.join(' '),
        ...(network === undefined ? [] : [`network ${network}`]),
        ...(masqueraded.has(link.name) ? ['(masqueraded to the world)'] : []),
        ...(link.leadsTo === undefined ? [] : [`═══ [ ${link.leadsTo} ]`]),
      ];
      return {
        text: words.filter((word) => word !== '').join('  '),
        children: host.filter(({ master }) => master === link.name).map(port),
      };
    });
  return [title, ...branches(roots)];
}

/** @returns lines of several hosts that hang on one wire, the wire from the top to the last of them */
export function drawSegment(wire: string, hosts: readonly Picture[]): readonly string[] {
  return [
    `══╦══ ${wire}`,
    ...hosts.flatMap((host, i) => {
      const last = i === hosts.length - 1;
      const [title = '', ...tree] = draw(host);
      return ['  ║', `  ${last ? '╚' : '╠'}══ ${title}`, ...tree.map((line) => `  ${last ? ' ' : '║'}   ${line}`)];
    }),
  ];
}

function branches(nodes: readonly Branch[], indent = ''): readonly string[] {
  return nodes.flatMap(({ text, children }, i) => {
    const last = i === nodes.length - 1;
    return [`${indent}${last ? '└─' : '├─'} ${text}`, ...branches(children, `${indent}${last ? '   ' : '│  '}`)];
  });
}
