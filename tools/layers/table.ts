/** Which folder of src/ may import what. docs/architecture.md section 3 says the same in words; the check compares the two. */

export interface Layer {
  /** Folder in src/. */
  readonly folder: string;
  /** Folders whose files it may import, besides its own. `all`: the composition root. */
  readonly imports: readonly string[] | 'all';
  /** npm packages it may import. */
  readonly packages: readonly string[];
  /** `drivers/*`: each sub-folder stands alone; files directly in the folder are shared by them. */
  readonly siblings?: true;
  /** No I/O: of Node's own modules only those in PURE_BUILTINS. */
  readonly pure?: true;
  /** Why the line is as it is; printed with each violation. */
  readonly why: string;
}

export const LAYERS: readonly Layer[] = [
  { folder: 'base', imports: [], packages: [], why: 'value types that all others share depend on nothing' },
  { folder: 'wire', imports: ['base'], packages: [], pure: true, why: 'codecs turn bytes into values and back, and do no I/O' },
  {
    folder: 'nft',
    imports: ['base', 'wire'],
    packages: [],
    pure: true,
    why: 'a ruleset is a value; sending it to the kernel is the work of netlink and kernel',
  },
  { folder: 'sys', imports: ['base'], packages: ['koffi'], why: 'the only gate to the operating system, so the only FFI' },
  {
    folder: 'netlink',
    imports: ['base', 'wire', 'nft', 'sys'],
    packages: [],
    why: 'speaks to the kernel through sys and knows nothing of networks and endpoints',
  },
  {
    folder: 'model',
    imports: ['base'],
    packages: [],
    pure: true,
    why: 'data and invariants, usable by every layer and by tests',
  },
  {
    folder: 'contracts',
    imports: ['base', 'model', 'nft'],
    packages: [],
    pure: true,
    why: 'interfaces know values only, never an implementation',
  },
  {
    folder: 'kernel',
    imports: ['base', 'wire', 'nft', 'sys', 'netlink', 'model', 'contracts'],
    packages: [],
    why: 'carries out changes; what they are for is decided above it',
  },
  {
    folder: 'drivers',
    imports: ['base', 'wire', 'nft', 'model', 'contracts'],
    packages: [],
    siblings: true,
    pure: true,
    why: 'a driver returns a plan and never touches the kernel; who knows one driver need not know another',
  },
  {
    folder: 'ipam',
    imports: ['base', 'model', 'contracts'],
    packages: [],
    siblings: true,
    why: 'hands out addresses; where pools are kept and what is done with them is the business of others',
  },
  {
    folder: 'store',
    imports: ['base', 'contracts'],
    packages: [],
    siblings: true,
    why: 'keeps bytes under keys and does not know what they mean',
  },
  {
    folder: 'cluster',
    imports: ['base', 'wire', 'model', 'contracts'],
    packages: ['yaml'],
    why: 'nodes, leases and peers, over whichever store there is',
  },
  {
    folder: 'services',
    imports: ['base', 'nft', 'model', 'contracts'],
    packages: [],
    why: 'balancing is described as a plan, like everything that reaches the kernel',
  },
  {
    folder: 'containers',
    imports: ['base', 'sys', 'model', 'contracts'],
    packages: [],
    why: 'runs containers; networks come to it through contracts',
  },
  {
    folder: 'dns',
    imports: ['base', 'wire', 'nft', 'sys', 'model', 'contracts'],
    packages: [],
    why: 'answers from names it is given',
  },
  {
    folder: 'tunnel',
    imports: ['base', 'wire', 'sys', 'model', 'contracts'],
    packages: [],
    why: 'a user-space data path works on file descriptors, so it needs sys',
  },
  {
    folder: 'paths',
    imports: ['base', 'wire', 'sys', 'model', 'contracts'],
    packages: [],
    why: 'packets that look at the way to other hosts go through sockets, so it needs sys',
  },
  {
    folder: 'trace',
    imports: ['base', 'wire', 'nft', 'model', 'contracts'],
    packages: [],
    why: 'explains a packet from snapshots; taking them is the work of kernel',
  },
  {
    folder: 'engine',
    imports: ['base', 'nft', 'model', 'contracts'],
    packages: [],
    why: 'everything it needs is handed to it as a contract, so it runs on fakes as on the real thing',
  },
  {
    folder: 'api',
    imports: ['base', 'model', 'contracts'],
    packages: ['fastify'],
    why: 'the HTTP frame and our own paths; the other edges get it from main',
  },
  {
    folder: 'docker',
    imports: ['base', 'model', 'contracts'],
    packages: ['fastify', '@docker/node-sdk'],
    why: "Docker's HTTP shapes stop here; behind it stand our own types (the SDK lends its types only)",
  },
  {
    folder: 'plugin',
    imports: ['base', 'model', 'contracts'],
    packages: ['fastify'],
    why: "Docker's plugin protocol is one more edge in front of the same contracts",
  },
  {
    folder: 'cni',
    imports: ['base', 'model', 'contracts'],
    packages: [],
    why: 'CNI is one more edge in front of the same contracts',
  },
  {
    folder: 'cli',
    imports: ['base', 'model', 'contracts'],
    packages: [],
    why: 'talks HTTP to the daemon, so it must not need what the daemon is made of (and starts fast)',
  },
  {
    folder: 'main',
    imports: 'all',
    packages: ['fastify', 'pino'],
    why: 'the composition root joins everything, and nothing may depend on how it does',
  },
];

/** What a pure layer may take from Node. `node:net` for isIP; none of these touches a file, a process or a device by itself. */
export const PURE_BUILTINS: readonly string[] = [
  'node:assert',
  'node:buffer',
  'node:crypto',
  'node:net',
  'node:stream',
  'node:util',
];

/** Nobody imports it. */
export const COMPOSITION_ROOT = 'main';
