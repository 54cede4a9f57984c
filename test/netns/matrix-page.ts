/** docs/rules/reachability.md: the table of the matrix in words. */
import {
  baseOf,
  BOUNDS,
  type Bound,
  DIFFERENCES,
  DOCKER,
  EXCEPTIONS,
  type Origin,
  ORIGINS,
  type Outcome,
  type Target,
  targetsOf,
} from './matrix-table.ts';

const WHO: Readonly<Record<Origin, string>> = {
  remote: 'another host',
  neighbour: 'a neighbour that sends packets for localhost here',
  localhost: 'this host, by localhost',
  own: 'this host, by an address of its own',
  other: 'a sandbox of another network',
  same: 'another sandbox of the same network',
  itself: 'the sandbox itself',
};

const WHERE: Readonly<Record<Target, string>> = {
  loopback: '127.0.0.1, [::1]',
  first: 'the host’s 198.51.100.1',
  second: 'another address of the host',
  sandbox: 'the sandbox’s own address, port 80',
};

const PUBLISHED: Readonly<Record<Bound, string>> = {
  any: '`-p 8080:80`',
  one: '`-p 198.51.100.1:8080:80`',
  localhost: '`-p 127.0.0.1:8080:80`',
  none: 'not published',
};

const SEEN: Readonly<Record<Outcome, string>> = {
  kept: '**itself**',
  gateway: '**gateway**',
  host: '**that address**',
  refused: 'refused',
  silence: 'silence',
};

const row = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`;

/** What cells are here that are another in Docker. */
function hereOf({ origin = [], bound = [], target }: (typeof DOCKER)[number]['cells']): string {
  const outcomes = origin.flatMap((who) =>
    bound.flatMap((where) =>
      targetsOf(who)
        .filter((at) => target === undefined || target.includes(at))
        .map((at) => baseOf({ origin: who, bound: where, target: at })),
    ),
  );
  return [...new Set(outcomes)]
    .filter((outcome) => outcome !== 'refused')
    .map((outcome) => SEEN[outcome])
    .join(' or ');
}

export function reachabilityPage(): string {
  const table = ORIGINS.flatMap((origin) =>
    targetsOf(origin).map((target) =>
      row([WHO[origin], WHERE[target], ...BOUNDS.map((bound) => SEEN[baseOf({ origin, bound, target })])]),
    ),
  );
  const exceptions = EXCEPTIONS.map(({ title, outcome, reason }) => `- **${title}**: ${SEEN[outcome]}. ${reason}`);
  const differences = [
    ...DOCKER.map(({ title, cells, outcome, reason }) => row([title, SEEN[outcome], hereOf(cells), reason])),
    ...DIFFERENCES.map(({ what, docker, here, why }) => row([what, docker, here, why])),
  ];
  return `# Who reaches a published port

This page is written by a test (\`test/netns/matrix.test.ts\`), which tries every line of it with real packets: TCP and UDP, IPv4
and IPv6, a single port, a range, and a range with other numbers inside, in a network of the usual gateway mode \`nat\`. Other tests try the
same beside a Docker Engine, with ufw, and with a chain of nftables whose policy is drop; and that \`moor ports\` says the same.

The words tell under which address the server in the sandbox sees the client: **itself**, the client's own; **gateway**, the address of the
sandbox's network on the host, because an answer to the client's own would not come back through the host; **that address**, the one that
was asked, which is the client's own as it runs on the host. *Refused*: the client is told at once. *Silence*: the packet is dropped.

${row(['who asks', 'at', ...BOUNDS.map((bound) => PUBLISHED[bound])])}
${row(['---', '---', ...BOUNDS.map(() => '---')])}
${table.join('\n')}

For IPv6 read \`-p [2001:db8:1::1]:8080:80\` and \`-p [::1]:8080:80\`.

## Except

${exceptions.join('\n')}

## Other than Docker

Docker Engine 20.10 with its default settings; a test (\`test/netns/matrix-docker-compare.test.ts\`) asks it for the same cells over
IPv4: they are as in the table above, but for these. The line about IPv6 is not part of that test.

${row(['what', 'Docker', 'here', 'why'])}
${row(['---', '---', '---', '---'])}
${differences.join('\n')}
`;
}
