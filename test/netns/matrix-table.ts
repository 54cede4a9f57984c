/**
 * Who reaches a published port, and as whom: the one place that says what matrix tests expect, and docs/rules/reachability.md is made of it.
 * Every cell holds for TCP and UDP, IPv4 and IPv6, a single port, a range, and a range with other numbers inside, unless an exception says otherwise.
 */

/** Who asks. `neighbour`: a host on the same wire that sends packets for localhost to this host. */
export type Origin = 'remote' | 'neighbour' | 'localhost' | 'own' | 'other' | 'same' | 'itself';

/** The host's address that the port is published at; `none`: it is not published. */
export type Bound = 'any' | 'one' | 'localhost' | 'none';

/**
 * Where it is asked for: at 127.0.0.1 or ::1, at the host's address that `one` names, at another one of the host, or at the sandbox's own
 * address and port.
 */
export type Target = 'loopback' | 'first' | 'second' | 'sandbox';

/** Three ways to be reached: the server sees the client itself, the address of its network's gateway, or that of the host which was asked. */
export type Outcome = 'kept' | 'gateway' | 'host' | 'refused' | 'silence';

export interface Cell {
  readonly protocol: 'tcp' | 'udp';
  readonly family: 4 | 6;
  readonly origin: Origin;
  readonly bound: Bound;
  readonly target: Target;
  readonly shape: Shape;
}

export type Shape = 'single' | 'range' | 'shifted';

/** What else is on the host. */
export interface Setting {
  /** net.bridge.bridge-nf-call-iptables and -ip6tables. */
  readonly bridgeNf: boolean;
  readonly firewall: 'none' | 'Docker' | 'ufw' | 'forward';
  /** Without the shortcut of the loopback: it is off, or a firewall judges what the host sends. */
  readonly translated?: true;
  /** The administrator has allowed what is published, by the remedy that the daemon tells. */
  readonly allowed: boolean;
}

const TARGETS = {
  remote: ['first', 'second', 'sandbox'],
  neighbour: ['loopback'],
  localhost: ['loopback'],
  own: ['first', 'second'],
  other: ['first', 'second', 'sandbox'],
  same: ['first', 'second', 'sandbox'],
  itself: ['first', 'second'],
} as const satisfies Readonly<Record<Origin, readonly Target[]>>;

type Row<O extends Origin> = Readonly<Record<(typeof TARGETS)[O][number], Outcome>>;

/** On a host without other firewalls. */
const TABLE = {
  remote: {
    any: { first: 'kept', second: 'kept', sandbox: 'silence' },
    one: { first: 'kept', second: 'refused', sandbox: 'silence' },
    localhost: { first: 'refused', second: 'refused', sandbox: 'silence' },
    none: { first: 'refused', second: 'refused', sandbox: 'silence' },
  },
  neighbour: {
    any: { loopback: 'silence' },
    one: { loopback: 'silence' },
    localhost: { loopback: 'silence' },
    none: { loopback: 'silence' },
  },
  localhost: {
    any: { loopback: 'gateway' },
    one: { loopback: 'refused' },
    localhost: { loopback: 'gateway' },
    none: { loopback: 'refused' },
  },
  own: {
    any: { first: 'host', second: 'host' },
    one: { first: 'host', second: 'refused' },
    localhost: { first: 'refused', second: 'refused' },
    none: { first: 'refused', second: 'refused' },
  },
  other: {
    any: { first: 'kept', second: 'kept', sandbox: 'silence' },
    one: { first: 'kept', second: 'refused', sandbox: 'silence' },
    localhost: { first: 'refused', second: 'refused', sandbox: 'silence' },
    none: { first: 'refused', second: 'refused', sandbox: 'silence' },
  },
  same: {
    any: { first: 'gateway', second: 'gateway', sandbox: 'kept' },
    one: { first: 'gateway', second: 'refused', sandbox: 'kept' },
    localhost: { first: 'refused', second: 'refused', sandbox: 'kept' },
    none: { first: 'refused', second: 'refused', sandbox: 'kept' },
  },
  itself: {
    any: { first: 'gateway', second: 'gateway' },
    one: { first: 'gateway', second: 'refused' },
    localhost: { first: 'refused', second: 'refused' },
    none: { first: 'refused', second: 'refused' },
  },
} as const satisfies { readonly [O in Origin]: Readonly<Record<Bound, Row<O>>> };

/** Where a cell of the table is not as it says. The first one that fits counts. */
export interface Exception {
  readonly title: string;
  readonly when: (setting: Setting, base: Outcome) => boolean;
  readonly cells: Partial<{ readonly [K in keyof Cell]: readonly Cell[K][] }>;
  readonly outcome: Outcome;
  readonly reason: string;
}

const closed = ({ firewall, allowed }: Setting): boolean => (firewall === 'ufw' || firewall === 'forward') && !allowed;
const reaches = (outcome: Outcome): boolean => outcome !== 'refused' && outcome !== 'silence';
/** Whose packets come in by an interface, and are not of the host itself. */
const COME_IN = ['remote', 'other', 'same', 'itself'] as const;

export const EXCEPTIONS: readonly Exception[] = [
  {
    title: 'UDP to `[::1]` while `bridge-nf-call-iptables` is 1',
    when: ({ bridgeNf }, base) => bridgeNf && reaches(base),
    cells: { protocol: ['udp'], family: [6], origin: ['localhost'] },
    outcome: 'refused',
    reason:
      'br_netfilter translates the answer while it is bridged, and IPv6 drops what then comes to it by a wire for ::1. It is refused at once instead of hanging; 127.0.0.1 works. Docker has a proxy process there.',
  },
  {
    title: 'TCP to it, with `--loopback-shortcut=false` or where that cannot be',
    when: ({ bridgeNf, translated }, base) => bridgeNf && translated === true && reaches(base),
    cells: { protocol: ['tcp'], family: [6], origin: ['localhost'] },
    outcome: 'refused',
    reason: 'For the same reason. With it nothing is translated.',
  },
  {
    title: 'a published port beside a firewall that drops what is forwarded and has not been told',
    when: (setting, base) => closed(setting) && reaches(base),
    cells: { origin: COME_IN, target: ['first', 'second'] },
    outcome: 'silence',
    reason:
      'Packets from elsewhere to a published port are forwarded, and the last word on them is that firewall’s: `moor ports` says so, with its rule and the command that allows it. The host’s own programs are not forwarded. With Docker other hosts get past ufw, and not past such a chain; its containers ask a process on the host, so that it is for the rules about input to judge.',
  },
  {
    title: 'inside one network, beside such a firewall, while `bridge-nf-call-iptables` is 1',
    when: (setting) => closed(setting) && setting.bridgeNf,
    cells: { origin: ['same'], target: ['sandbox'] },
    outcome: 'silence',
    reason:
      'Frames inside a bridge are shown to that firewall too, among them those by which IPv6 finds its neighbours. With 0 they are not. With ufw, allowing a port does not help there, `ufw default allow routed` does. Docker has rules of its own before those of ufw; beside other chains it is the same there.',
  },
  {
    title: 'what is not published, beside ufw',
    when: ({ firewall }, base) => firewall === 'ufw' && base === 'refused',
    cells: { origin: COME_IN },
    outcome: 'silence',
    reason: 'It is for the host itself, and there ufw drops what it does not know. The same with Docker.',
  },
];

/** @throws when nothing is said of a cell */
export function baseOf({ origin, bound, target }: Pick<Cell, 'origin' | 'bound' | 'target'>): Outcome {
  const row: Partial<Record<Target, Outcome>> = TABLE[origin][bound];
  const outcome = row[target];
  if (outcome === undefined) throw new Error(`nothing is expected of ${origin}, ${bound}, ${target}`);
  return outcome;
}

function exceptionOf(cell: Cell, setting: Setting): Exception | null {
  const base = baseOf(cell);
  return EXCEPTIONS.find(({ when, cells }) => when(setting, base) && fits(cell, cells)) ?? null;
}

const fits = (cell: Cell, cells: Exception['cells']): boolean =>
  (Object.keys(cells) as (keyof Cell)[]).every((key) => (cells[key] as readonly unknown[]).includes(cell[key]));

/** What each cell is expected to be on such a host. */
export const expectedIn =
  (setting: Setting) =>
  (cell: Cell): Outcome =>
    exceptionOf(cell, setting)?.outcome ?? baseOf(cell);

export const ORIGINS = Object.keys(TARGETS) as readonly Origin[];
export const BOUNDS = ['any', 'one', 'localhost', 'none'] as const satisfies readonly Bound[];
export const SHAPES = ['single', 'range', 'shifted'] as const satisfies readonly Shape[];
export const targetsOf = (origin: Origin): readonly Target[] => TARGETS[origin];

/** Every cell there is. What is not published has no shape. */
export function allCells(): readonly Cell[] {
  return (['tcp', 'udp'] as const).flatMap((protocol) =>
    ([4, 6] as const).flatMap((family) =>
      ORIGINS.flatMap((origin) =>
        BOUNDS.flatMap((bound) =>
          targetsOf(origin).flatMap((target) =>
            (bound === 'none' ? (['single'] as const) : SHAPES).map(
              (shape): Cell => ({ protocol, family, origin, bound, target, shape }),
            ),
          ),
        ),
      ),
    ),
  );
}

export const nameOf = ({ protocol, family, origin, bound, target, shape }: Cell): string =>
  `${protocol}${family} ${shape}, published at ${bound}: ${origin} asks ${target}`;

/** Where Docker Engine 20.10 with its default settings, without other firewalls, is not as the table says. The first one that fits counts. */
export const DOCKER: readonly Omit<Exception, 'when'>[] = [
  {
    title: 'UDP from a sandbox to a port published at any address, by the host’s address',
    cells: { protocol: ['udp'], origin: ['other', 'same', 'itself'], bound: ['any'], target: ['first', 'second'] },
    outcome: 'silence',
    reason:
      'There a process on the host passes datagrams on, and its answers come from the address that is nearest to the client, not from the one that was asked. Here the kernel translates.',
  },
  {
    title: 'a sandbox of another network asks a published port by the host’s address',
    cells: { origin: ['other'], bound: ['any', 'one'], target: ['first', 'second'] },
    outcome: 'gateway',
    reason: 'The same process hides the client. Here it is forwarded, and the server sees it.',
  },
  {
    title: 'another host asks a published port by the sandbox’s own address',
    cells: { origin: ['remote'], bound: ['any', 'one', 'localhost'], target: ['sandbox'] },
    outcome: 'kept',
    reason: 'Docker 28.0 closed that, too; gateway mode `nat-unprotected` opens it.',
  },
  {
    title: 'a neighbour that sends packets for localhost here',
    cells: { origin: ['neighbour'], bound: ['any', 'localhost'], family: [4] },
    outcome: 'kept',
    reason: 'Docker 28.0 closed that, too.',
  },
];

export function inDocker(cell: Cell): Outcome {
  const base = baseOf(cell);
  // What is refused there is refused here.
  if (base === 'refused') return base;
  return DOCKER.find(({ cells }) => fits(cell, cells))?.outcome ?? base;
}

/** Further differences, which only other tests see. */
export const DIFFERENCES: readonly {
  readonly what: string;
  readonly docker: string;
  readonly here: string;
  readonly why: string;
}[] = [
  {
    what: 'another host asks the host’s IPv6 address, and the sandbox has only IPv4',
    docker: 'gateway',
    here: 'refused',
    why: 'Docker’s process leads from one family to the other. The kernel cannot, and the server would not know its client.',
  },
  {
    what: 'another host asks what is published, beside ufw that denies what is routed',
    docker: 'itself',
    here: 'silence, until `ufw route allow ...`',
    why: 'Docker’s own rules let it pass before ufw is asked. A firewall that somebody has set up has the last word here.',
  },
];
