/** Whole command lines against recorded answers: what is asked of the daemon, what is printed where, and the exit status. */
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { MoorError } from '../base/errors.ts';
import { COMMANDS } from './commands/commands.ts';
import { CommandError, type CommandLine, type HttpAnswer, type HttpRequest, type Ports, type SandboxView } from './ports.ts';
import { runProgram } from './program.ts';

const ID = 'ab12cd34ef56'.padEnd(64, '0');

const SANDBOX = {
  id: ID,
  name: 'web',
  created: '2026-01-31T10:00:00Z',
  hostname: 'web',
  netns: { type: 'own', path: '/run/moor/netns/web' },
  labels: { tier: 'front' },
  process: { pid: 42, startTime: '7', command: ['sleep', '\u001b[31m1d'] },
  autoRemove: true,
  endpoints: [{ networkId: 'n1', ipv4: '10.0.0.5/24', ipv6: 'fd00::5/64' }],
  ports: [{ protocol: 'tcp', hostAddress: '0.0.0.0', hostPorts: { from: 8080, to: 8080 }, containerPorts: { from: 80, to: 80 } }],
};
const PLAN = { title: 'create network a (bridge)', changes: [], text: ['ip link add br-1 type bridge', 'nft add element x'] };

/** `METHOD path` -> status and body; anything else is 404. */
type Answers = Readonly<Record<string, readonly [status: number, body: unknown]>>;

interface World {
  readonly status: number;
  readonly out: string;
  readonly err: string;
  /** Addresses of the daemon that were used. */
  readonly hosts: readonly string[];
  readonly requests: readonly HttpRequest[];
  readonly entered: readonly SandboxView[];
  readonly started: readonly (CommandLine & { readonly log?: string | undefined })[];
}

interface WorldOptions {
  readonly answers?: Answers;
  readonly input?: string | null;
  readonly colour?: boolean;
  readonly environment?: Readonly<Record<string, string>>;
  readonly commandStatus?: number;
  /** The command does not end. */
  readonly runs?: boolean;
  readonly startError?: Error;
  readonly interrupted?: boolean;
  readonly unreachable?: boolean;
}

async function moor(line: string | readonly string[], options: WorldOptions = {}): Promise<World> {
  let out = '';
  let err = '';
  const hosts: string[] = [];
  const requests: HttpRequest[] = [];
  const entered: SandboxView[] = [];
  const started: (CommandLine & { readonly log?: string | undefined })[] = [];
  const running = (commandLine: CommandLine, log?: string) => {
    if (options.startError) return Promise.reject(options.startError);
    started.push(log === undefined ? commandLine : { ...commandLine, log });
    const ended = options.runs ? new Promise<number>(() => {}) : Promise.resolve(options.commandStatus ?? 0);
    return Promise.resolve({ pid: 99, startTime: '12345', ended });
  };
  const send = (request: HttpRequest): Promise<HttpAnswer> => {
    requests.push(request);
    if (options.unreachable) return Promise.reject(new MoorError('unavailable', 'Cannot connect to the daemon'));
    const [status, body] = options.answers?.[`${request.method} ${request.path}`] ?? [
      404,
      { message: 'not found', kind: 'not-found' },
    ];
    return Promise.resolve({ status, body: typeof body === 'string' ? body : JSON.stringify(body) });
  };
  const ports: Ports = {
    connect: (address) => {
      hosts.push(address);
      return {
        send,
        lines: async function* (path) {
          yield* (await send({ method: 'GET', path })).body.split('\n');
        },
      };
    },
    terminal: {
      out: { write: (text) => (out += text), isTerminal: options.colour ?? false, colour: options.colour ?? false },
      err: { write: (text) => (err += text), isTerminal: options.colour ?? false, colour: options.colour ?? false },
      ask: (question) => {
        out += question;
        return Promise.resolve(options.input ?? null);
      },
    },
    clock: { now: () => Date.parse('2026-01-31T10:05:00Z') },
    processes: {
      self: async () => ({ pid: 98, startTime: '12344' }),
      enter: (view) => {
        entered.push(view);
        return Promise.resolve();
      },
      start: (commandLine) => running(commandLine),
      startDetached: (commandLine, log) => running(commandLine, log ?? ''),
      replace: (commandLine) => {
        started.push(commandLine);
        return Promise.reject(options.startError ?? new CommandError(126, 'replaced'));
      },
    },
    daemon: (args) => Promise.reject(new Error(`daemon ${args.join(' ')}`)),
    environment: { HOME: '/root', ...options.environment },
    version: '9.9.9',
    interrupted: () => (options.interrupted ? AbortSignal.abort() : new AbortController().signal),
  };
  const status = await runProgram(typeof line === 'string' ? line.split(' ') : line, ports);
  return { status, out, err, hosts, requests, entered, started };
}

const outcome = (value: unknown, warnings: readonly string[] = []) => ({ value, warnings, plan: PLAN });

describe('network', () => {
  const answers: Answers = {
    'POST /moor/networks': [201, outcome({ id: ID, name: 'a' }, ['IPv6 forwarding is off'])],
    'POST /moor/networks?dryRun=1': [201, outcome({ id: ID, name: 'a' })],
    'DELETE /moor/networks/a': [200, outcome({ id: ID, name: 'a' })],
    'DELETE /moor/networks/b': [403, { message: 'network b has active endpoints', kind: 'forbidden' }],
    'DELETE /moor/networks/a%2Fb': [200, outcome({ id: ID, name: 'a/b' })],
    'POST /moor/networks/prune': [200, outcome({ networks: ['a', 'b'] })],
    'POST /networks/prune?filters=%7B%22until%22%3A%5B%221h%22%5D%7D': [200, { NetworksDeleted: ['old'] }],
    'POST /moor/networks/a/connect': [200, outcome({ id: 'e' })],
    'POST /moor/networks/a/disconnect': [200, outcome({ id: 'e' })],
  };

  it('create sends what was said and nothing else', async () => {
    const plain = await moor('network create a', { answers });
    assert.deepEqual(plain.requests[0]?.body, { name: 'a', options: {}, labels: {}, ipamOptions: {}, pools: [] });
    assert.equal(plain.out, `${ID}\n`);
    assert.equal(plain.err, 'WARNING: IPv6 forwarding is off\n');
    const full = await moor(
      'network create -d bridge --internal --ipv4=false --ipv6 --attachable=0 --scope local --subnet fd00::/64 --gateway fd00::1 --aux-address r=fd00::2 --ip-range fd00::/80 -o a=1 --opt b=2 --label x --ipam-driver default --ipam-opt q=1 a',
      { answers },
    );
    assert.deepEqual(full.requests[0]?.body, {
      name: 'a',
      driver: 'bridge',
      scope: 'local',
      ipv4: false,
      ipv6: true,
      internal: true,
      attachable: false,
      ipamDriver: 'default',
      options: { a: '1', b: '2' },
      labels: { x: '' },
      ipamOptions: { q: '1' },
      pools: [{ subnet: 'fd00::/64', range: 'fd00::/80', gateway: 'fd00::1', auxiliary: { r: 'fd00::2' } }],
    });
  });

  it('--dry-run prints the plan, wherever it stands', async () => {
    for (const line of ['network create --dry-run a', '--dry-run network create a', 'network --dry-run create a']) {
      const { out, requests } = await moor(line, { answers });
      assert.equal(out, '# create network a (bridge)\nip link add br-1 type bridge\nnft add element x\n');
      assert.equal(requests[0]?.path, '/moor/networks?dryRun=1');
    }
    const refused = await moor('--dry-run network ls', { answers });
    assert.equal(refused.status, 2);
    assert.deepEqual(refused.requests, []);
  });

  it('--json prints one document, colour only where it is wanted', async () => {
    const { out } = await moor('--json network create a', { answers });
    assert.deepEqual(JSON.parse(out), outcome({ id: ID, name: 'a' }, ['IPv6 forwarding is off']));
    const coloured = await moor('network create --dry-run a', { answers, colour: true });
    assert.ok(coloured.out.startsWith('\u001b[36m# create network a (bridge)\u001b[0m\n'));
  });

  it('rm goes on after an error', async () => {
    const some = await moor('network rm b a c', { answers });
    assert.deepEqual([some.out, some.err, some.status], ['a\n', 'moor: network b has active endpoints\nmoor: not found\n', 1]);
    const json = await moor('--json network rm b a', { answers });
    assert.deepEqual(JSON.parse(json.err), { error: { kind: 'forbidden', message: 'network b has active endpoints' } });
    assert.deepEqual(JSON.parse(json.out), [outcome({ id: ID, name: 'a' })]);
    assert.equal((await moor('network rm b', { answers })).status, 5);
    assert.equal((await moor('network rm c', { answers })).status, 3);
    const forced = await moor('network rm -f c a', { answers });
    assert.deepEqual([forced.out, forced.err, forced.status], ['a\n', '', 0]);
    assert.equal((await moor(['network', 'rm', 'a/b'], { answers })).status, 0);
  });

  it('prune asks first', async () => {
    for (const input of [null, '', 'n', 'yesterday']) {
      const no = await moor('network prune', { answers, input });
      assert.deepEqual([no.requests, no.status], [[], 130]);
    }
    const yes = await moor('network prune', { answers, input: 'y' });
    assert.ok(yes.out.endsWith('Are you sure you want to continue? [y/N] Deleted Networks:\na\nb\n\n'));
    const filtered = await moor('network prune -f --filter until=1h', { answers });
    assert.equal(filtered.out, 'Deleted Networks:\nold\n\n');
    assert.equal((await moor('network prune --dry-run --filter until=1h', { answers })).status, 6);
  });

  it('connect and disconnect say which endpoint', async () => {
    const { requests, out } = await moor(
      'network connect --ip 10.0.0.9 --ip6 fd00::9 --mac-address 02:00:00:00:00:01 --alias x,y --gw-priority -3 --driver-opt a=b a web',
      { answers },
    );
    assert.equal(out, '');
    assert.deepEqual(requests[0]?.body, {
      sandbox: 'web',
      endpoint: {
        ipv4: '10.0.0.9',
        ipv6: 'fd00::9',
        mac: '02:00:00:00:00:01',
        gatewayPriority: -3,
        aliases: ['x', 'y'],
        options: { a: 'b' },
      },
    });
    const gone = await moor('network disconnect -f a web', { answers });
    assert.deepEqual(gone.requests[0]?.body, { sandbox: 'web', force: true });
  });
});

describe('run', () => {
  const answers: Answers = {
    'POST /moor/sandboxes': [201, outcome(SANDBOX)],
    'POST /moor/sandboxes?dryRun=1': [201, outcome(SANDBOX)],
    [`GET /moor/sandboxes/${ID}/enter`]: [
      200,
      { id: ID, name: 'web', hostname: 'web', netns: '/run/moor/netns/web', files: { '/etc/hosts': '/run/moor/s/hosts' } },
    ],
    [`POST /moor/sandboxes/${ID}/process`]: [200, SANDBOX],
    [`DELETE /moor/sandboxes/${ID}?force=1`]: [200, outcome(SANDBOX)],
  };

  it('makes, enters, starts, reports, waits and clears away', async () => {
    const { status, requests, entered, started, out, err } = await moor(
      'run --name web -h web --network a --ip 10.0.0.5 -e A=1 -w /tmp -u nobody --label tier=front -- ping -c 1 x',
      { answers, commandStatus: 143 },
    );
    assert.deepEqual([status, out, err], [143, '', '']);
    assert.deepEqual(
      requests.map(({ method, path }) => `${method} ${path}`),
      [
        'POST /moor/sandboxes',
        `GET /moor/sandboxes/${ID}/enter`,
        `POST /moor/sandboxes/${ID}/process`,
        `DELETE /moor/sandboxes/${ID}?force=1`,
      ],
    );
    assert.deepEqual(requests[0]?.body, {
      name: 'web',
      hostname: 'web',
      labels: { tier: 'front' },
      networks: [{ network: 'a', endpoint: { ipv4: '10.0.0.5' } }],
      autoRemove: true,
      creator: { pid: 98, startTime: '12344', command: ['moor', 'run'] },
    });
    assert.deepEqual(requests[2]?.body, { pid: 99, startTime: '12345', command: ['ping', '-c', '1', 'x'] });
    assert.deepEqual(entered, [
      { netns: '/run/moor/netns/web', hostname: 'web', files: [{ target: '/etc/hosts', source: '/run/moor/s/hosts' }] },
    ]);
    assert.deepEqual(started, [
      { command: ['ping', '-c', '1', 'x'], environment: { HOME: '/root', A: '1' }, directory: '/tmp', user: 'nobody' },
    ]);
  });

  it('without a command leaves a sandbox', async () => {
    const { out, requests, started } = await moor('run --name web', { answers });
    assert.deepEqual([out, started.length], [`${ID}\n`, 0]);
    assert.deepEqual(
      requests.map(({ body }) => body),
      [{ name: 'web' }],
    );
  });

  it('--detach does not wait, --keep does not remove', async () => {
    const detached = await moor('run -d --log /tmp/x -- sleep 1', { answers });
    assert.deepEqual([detached.out, detached.status, detached.started[0]?.log], [`${ID}\n`, 0, '/tmp/x']);
    assert.equal(detached.requests.length, 3);
    for (const line of ['run --keep -- true', 'run --rm=false -- true']) {
      const kept = await moor(line, { answers });
      assert.deepEqual(kept.requests[0]?.body, {});
      assert.equal(kept.requests.length, 3);
    }
  });

  it('clears away when the command cannot be started, or was interrupted first', async () => {
    const failed = await moor('run -- nosuch', {
      answers,
      startError: new CommandError(127, 'Cannot run nosuch: no such program on PATH'),
    });
    assert.deepEqual([failed.status, failed.err], [127, 'moor: Cannot run nosuch: no such program on PATH\n']);
    assert.equal(failed.requests.at(-1)?.method, 'DELETE');
    const interrupted = await moor('run -- sleep 1', { answers, interrupted: true });
    assert.deepEqual([interrupted.status, interrupted.requests.at(-1)?.method], [130, 'DELETE']);
  });

  it('goes on when the daemon does not take the report', async () => {
    const { status, err } = await moor('run -- true', {
      answers: { ...answers, [`POST /moor/sandboxes/${ID}/process`]: [503, { message: 'busy', kind: 'unavailable' }] },
      commandStatus: 3,
    });
    assert.deepEqual([status, err], [3, 'WARNING: the daemon does not know of the command: busy\n']);
  });

  it('tells a daemon that is being restarted again', async () => {
    // Looked at once a request: creation, view, report, and the report again.
    let refusals = 3;
    const { status, err, requests } = await moor('run -d -- sleep 1', {
      get answers(): Answers {
        const busy = [503, { message: 'busy', kind: 'unavailable' }] as const;
        return refusals-- > 0 ? { ...answers, [`POST /moor/sandboxes/${ID}/process`]: busy } : answers;
      },
      runs: true,
    });
    assert.deepEqual([status, err], [0, '']);
    assert.equal(requests.filter(({ path }) => path.endsWith('/process')).length, 2);
  });

  it('exits with 125 for everything that is not the command’s', async () => {
    for (const line of ['run --nope -- true', 'run --ip', 'run -- true', 'exec', 'exec web'])
      assert.equal((await moor(line)).status, 125, line);
    assert.equal((await moor('run -- true', { unreachable: true })).status, 125);
  });

  it('--dry-run starts nothing', async () => {
    const { out, requests, started, entered } = await moor('run --dry-run -- true', { answers });
    assert.ok(out.startsWith('# create network a'));
    assert.deepEqual([requests.length, started, entered], [1, [], []]);
  });

  it('exec --dry-run says in words where the command would run; in JSON when asked', async () => {
    const enter = { id: ID, name: 'web', hostname: 'h', netns: '/run/n', files: { '/etc/hosts': '/run/f/hosts' } };
    const byName: Answers = { 'GET /moor/sandboxes/web/enter': [200, enter] };
    const { out, started, entered } = await moor(['exec', '--dry-run', 'web', '--', 'sh', '-c', "echo 'x'"], { answers: byName });
    assert.equal(
      out,
      [
        '# run in sandbox web, with mounts and a host name that only the command sees',
        'mount --bind /run/f/hosts /etc/hosts',
        'hostname h',
        "nsenter --net=/run/n sh -c 'echo '\\''x'\\'''",
        '',
      ].join('\n'),
    );
    assert.deepEqual([started, entered], [[], []]);
    const json = await moor('--json exec --dry-run web -- true', { answers: byName });
    assert.deepEqual((JSON.parse(json.out) as { readonly command: unknown }).command, ['true']);
    const host: Answers = { 'GET /moor/sandboxes/web/enter': [200, { ...enter, netns: null, files: {} }] };
    const plain = await moor('exec --dry-run web -- true', { answers: host });
    assert.equal(plain.out, "# run in sandbox web, which has the host's own network\ntrue\n");
  });

  it('exec enters and becomes the command', async () => {
    const byName: Answers = { 'GET /moor/sandboxes/web/enter': answers[`GET /moor/sandboxes/${ID}/enter`] ?? [404, ''] };
    for (const line of ['exec web -- ip -br a', 'exec web ip -br a', 'exec -it web ip -br a']) {
      const { started, entered, requests } = await moor(line, { answers: byName });
      assert.deepEqual([started[0]?.command, entered.length, requests.length], [['ip', '-br', 'a'], 1, 1]);
    }
    const host: Answers = {
      'GET /moor/sandboxes/web/enter': [200, { id: ID, name: 'web', hostname: 'h', netns: null, files: {} }],
    };
    const { entered, started } = await moor('exec web -- true', { answers: host });
    assert.deepEqual([entered, started.length], [[], 1]);
  });
});

describe('ports', () => {
  const range = (from: number, to = from) => ({ from, to });
  const [port] = SANDBOX.ports;
  const published = {
    sandbox: { id: ID, name: 'web' },
    publish: [],
    ports: [port, { protocol: 'udp', hostAddress: '::1', hostPorts: range(7000, 7001), containerPorts: range(53, 54) }],
  };
  const answers: Answers = {
    'POST /moor/sandboxes/web/ports': [200, outcome(published)],
    'POST /moor/sandboxes/web/ports?dryRun=1': [200, outcome(published)],
    'POST /moor/sandboxes/idle/ports': [
      200,
      outcome({
        ...published,
        ports: [],
        publish: [{ protocol: 'tcp', hostAddress: null, hostPorts: null, containerPorts: range(80) }],
      }),
    ],
    'DELETE /moor/sandboxes/web/ports?ports=80%2C%5B%3A%3A1%5D%3A%3A53%2Fudp': [200, outcome({ ...published, ports: [] })],
    'GET /moor/ports': [200, published.ports.map((one) => ({ sandbox: published.sandbox, ...one }))],
    'GET /moor/sandboxes/web': [200, SANDBOX],
    'GET /moor/sandboxes/bare': [200, { ...SANDBOX, id: 'b'.repeat(64) }],
    'GET /containers/stopped/json': [200, { Id: 'c'.repeat(64) }],
    'POST /moor/sandboxes': [201, outcome(SANDBOX)],
  };
  it('are added and removed as they are written, and what has come or is left is printed', async () => {
    const before: Answers = { ...answers, 'GET /moor/ports': [200, [{ sandbox: published.sandbox, ...port }]] };
    const add = await moor('port add web [::1]:7000-7001:53-54/udp', { answers: before });
    assert.deepEqual(add.requests.at(-1)?.body, { ports: ['[::1]:7000-7001:53-54/udp'] });
    assert.equal(add.out, '[::1]:7000-7001->53-54/udp\n');
    assert.equal((await moor('port add idle 80', { answers })).out, '80/tcp (at the next start)\n');
    assert.match((await moor('port add --dry-run web 8080:80', { answers })).out, /^# create network a/);
    const rm = await moor('port rm web 80 [::1]::53/udp', { answers });
    assert.deepEqual([rm.status, rm.out, rm.err], [0, '', '']);
    assert.deepEqual(JSON.parse((await moor('--json port add web 8080:80', { answers })).out), outcome(published));
  });
  it('that are none are refused before the daemon is asked', async () => {
    for (const line of ['port add web x:80', 'port rm web 80/foo', 'run -p 1-2:80-82 true', 'port add web']) {
      const { status, requests } = await moor(line, { answers });
      assert.ok(status !== 0 && requests.length === 0, line);
    }
    assert.equal((await moor('port add web x:80', { answers })).err, 'moor: invalid hostPort: x\n');
  });
  it('ls is a table of all, or of one', async () => {
    const rows = [
      'NAME      PUBLISHED         TARGET',
      'web       [::1]:7000-7001   53-54/udp',
      'web       0.0.0.0:8080      80/tcp',
      '',
    ];
    assert.deepEqual((await moor('port ls', { answers })).out.split('\n'), rows);
    assert.deepEqual((await moor('port ls web', { answers })).out.split('\n'), rows);
    assert.equal(
      (await moor(['port', 'ls', '--format', '{{.HostPort}} {{.Name}}'], { answers })).out,
      '7000-7001 web\n8080 web\n',
    );
    assert.equal((JSON.parse((await moor('--json port ls', { answers })).out) as unknown[]).length, 2);
    for (const name of ['bare', 'stopped']) {
      const { status, out } = await moor(`port ls ${name}`, { answers });
      assert.deepEqual([status, out.split('\n').length], [0, 2], name);
    }
    assert.equal((await moor('port ls nobody', { answers })).status, 3);
  });
  it('of moor run go with the sandbox', async () => {
    const { requests } = await moor('run -p 8080:80 --publish 53/udp', { answers });
    assert.deepEqual(requests[0]?.body, { ports: ['8080:80', '53/udp'] });
  });
});

describe('sandboxes', () => {
  const answers: Answers = {
    'GET /moor/sandboxes': [
      200,
      [SANDBOX, { ...SANDBOX, name: 'idle', process: null, endpoints: [], ports: [], created: '2026-01-31T10:04:59Z' }],
    ],
    'GET /networks': [200, [{ Id: 'n1', Name: 'my_net' }]],
    'GET /moor/sandboxes/web': [200, SANDBOX],
    'POST /moor/sandboxes': [201, outcome(SANDBOX)],
    'DELETE /moor/sandboxes/web?force=1': [200, outcome(SANDBOX)],
  };
  it('ls is a table, safe to show', async () => {
    assert.equal(
      (await moor('ls', { answers })).out,
      [
        'NAME      ID             NETWORK   ADDRESS            COMMAND            STATUS          PORTS',
        'idle      ab12cd34ef56                                                   Idle 1 second   ',
        'web       ab12cd34ef56   my_net    10.0.0.5,fd00::5   sleep \\x1b[31m1d   Up 5 minutes    0.0.0.0:8080->80/tcp',
        '',
      ].join('\n'),
    );
    assert.equal((await moor('ls -q', { answers })).out, 'ab12cd34ef56\nab12cd34ef56\n');
    assert.equal(
      (await moor(['ps', '--format', '{{.Name}} {{.Label "tier"}} {{.Pid}}'], { answers })).out,
      'idle front \nweb front 42\n',
    );
    assert.equal((JSON.parse((await moor('--json ls', { answers })).out) as unknown[]).length, 2);
  });
  it('inspect and rm take names', async () => {
    assert.equal(
      (await moor(['inspect', '-f', '{{range .endpoints}}{{.ipv4}}{{end}}', 'web'], { answers })).out,
      '10.0.0.5/24\n',
    );
    const command = ['inspect', '-f', '{{range .process.command}}{{.}}\t{{end}}', 'web'];
    assert.equal((await moor(command, { answers })).out, 'sleep\t\u001b[31m1d\t\n', 'a program gets what there is');
    assert.equal((await moor(command, { answers, colour: true })).out, 'sleep\t\\x1b[31m1d\t\n', 'a screen does not obey it');
    const missing = await moor('inspect web nobody', { answers });
    assert.deepEqual([missing.status, missing.err, (JSON.parse(missing.out) as unknown[]).length], [1, 'moor: not found\n', 1]);
    assert.equal((await moor('rm -f web', { answers })).out, 'web\n');
  });
  it('adopt wants one source', async () => {
    const { requests } = await moor('adopt --name lab --pid 7 --network none', { answers });
    assert.deepEqual(requests[0]?.body, { name: 'lab', networks: [{ network: 'none' }], adopt: { pid: 7 } });
    for (const line of ['adopt --name lab', 'adopt --pid 7 --path /x']) assert.equal((await moor(line, { answers })).status, 2);
  });
});

describe('host', () => {
  it('shows status, with what is wrong', async () => {
    const status = {
      version: '1.0.0',
      pid: 7,
      dataRoot: '/var/lib/moor',
      execRoot: '/run/moor',
      instance: '',
      networks: 1,
      sandboxes: 2,
      endpoints: 3,
      pools: [{ subnet: '10.0.0.0/24', owner: 'n1', used: '3', size: '254' }],
      features: [{ name: 'ipvs', state: 'no', why: 'not loaded' }],
      facts: { uplink: 'eth0', uplinkMtu: 1500, hostname: 'h' },
      warnings: ['docker drops'],
      repairs: [{ time: Date.parse('2026-01-31T10:03:00Z'), what: 'route x', why: 'it was deleted' }],
      names: { clients: 2, records: 3, queries: 70, forwarded: 20, dropped: 1 },
    };
    const { out } = await moor('status', {
      answers: { 'GET /moor/status': [200, status], 'GET /networks': [200, [{ Id: 'n1', Name: 'a' }]] },
    });
    assert.equal(
      out,
      [
        'Moorline 1.0.0',
        'pid 7, state in /var/lib/moor and /run/moor',
        'h, uplink eth0 (MTU 1500)',
        '1 network, 2 sandboxes, 3 endpoints',
        'names of 3 endpoints for 2 sandboxes: 70 queries, 20 passed on, 1 dropped',
        '',
        'Address pools',
        'SUBNET        NETWORK   USED      OF',
        '10.0.0.0/24   a         3         254',
        '',
        'Kernel features',
        'FEATURE   STATE     WHY',
        'ipvs      no        not loaded',
        '',
        'Warnings',
        'docker drops',
        '',
        'Repairs since the start',
        'WHEN            WHAT      WHY',
        '2 minutes ago   route x   it was deleted',
        '',
      ].join('\n'),
    );
  });
  it('follows events', async () => {
    const event = {
      Type: 'network',
      Action: 'create',
      Actor: { ID: 'n1', Attributes: { name: 'a' } },
      time: 1769853600,
      timeNano: 1769853600123000000,
    };
    const answers: Answers = {
      'GET /events': [200, `${JSON.stringify(event)}\n`],
      'GET /events?since=1769853900&until=1769853840&filters=%7B%22type%22%3A%5B%22network%22%5D%7D': [200, ''],
    };
    assert.equal((await moor('events', { answers })).out, '2026-01-31T10:00:00.123Z network create n1 (name=a)\n');
    assert.equal((await moor(['events', '--format', '{{.Action}} {{.Actor.Attributes.name}}'], { answers })).out, 'create a\n');
    assert.equal((await moor('events --since 0s --until 1m -f type=network', { answers })).status, 0);
  });
  it('reports repairs, and resets only when told to', async () => {
    assert.equal(
      (await moor('reconcile', { answers: { 'POST /moor/reconcile': [200, { repaired: [] }] } })).out,
      'Nothing to repair\n',
    );
    assert.equal(
      (await moor('reconcile', { answers: { 'POST /moor/reconcile': [200, { repaired: ['a', 'b'] }] } })).out,
      'a\nb\n',
    );
    const drift = await moor('reconcile --dry-run', { answers: { 'POST /moor/reconcile?dryRun=1': [200, outcome(null)] } });
    assert.ok(drift.out.startsWith('# create network'), drift.err);
    const none = { ...outcome(null), plan: { title: 'reconcile', changes: [], text: [] } };
    const same = await moor('reconcile --dry-run', { answers: { 'POST /moor/reconcile?dryRun=1': [200, none] } });
    assert.equal(same.out, 'Nothing to repair\n');
    const answers: Answers = { 'POST /moor/reset': [200, outcome(null)], 'POST /moor/reset?dryRun=1': [200, outcome(null)] };
    assert.deepEqual((await moor('reset', { answers, input: 'no' })).requests, []);
    assert.equal((await moor('reset', { answers, input: 'yes' })).requests.length, 1);
    assert.match((await moor('reset', { answers })).out, /\[y\/N\] \n$/);
    assert.ok((await moor('reset --dry-run', { answers })).out.startsWith('# create network'));
  });
  it('says versions, its own without a daemon', async () => {
    const both = { 'GET /version': [200, { Version: '1', ApiVersion: '1.51', MinAPIVersion: '1.24' }] } as const;
    assert.match((await moor('version --client')).out, /^Client: Moorline\n Version: {6}9\.9\.9\n/);
    const alone = await moor('version', { unreachable: true });
    assert.deepEqual([alone.status, alone.out.startsWith('Client:')], [8, true]);
    assert.equal((await moor(['version', '-f', '{{.Server.Version}} {{.Client.Version}}'], { answers: both })).out, '1 9.9.9\n');
  });
});

describe('errors', () => {
  it('have a kind, a status, and a shape for programs', async () => {
    const refuse = (status: number, body: unknown) =>
      moor('--json network create a', { answers: { 'POST /moor/networks': [status, body] } });
    const conflict = await refuse(409, { message: 'network with name a already exists', kind: 'conflict' });
    assert.deepEqual(
      [conflict.status, JSON.parse(conflict.err)],
      [4, { error: { kind: 'conflict', message: 'network with name a already exists' } }],
    );
    assert.equal((await refuse(503, { message: 'no address', kind: 'exhausted' })).status, 7);
    assert.equal((await refuse(503, { message: 'not now' })).status, 8);
    assert.equal((await refuse(502, 'bad gateway')).status, 1);
    assert.match((await refuse(200, '<html>')).err, /it is not JSON/);
  });
  it('name what was probably meant, and how it is used', async () => {
    const unknown = await moor('netwrok ls');
    assert.deepEqual(
      [unknown.status, unknown.err],
      [2, "moor: unknown command: moor netwrok (did you mean network?)\nSee 'moor --help'\n"],
    );
    const count = await moor('network rm');
    assert.equal(
      count.err,
      "moor: 'moor network rm' requires at least 1 argument\n\nUsage:  moor network rm [OPTIONS] NETWORK [NETWORK...]\n\nSee 'moor network rm --help' for more information\n",
    );
  });
  it('finds the daemon by --host, then MOOR_HOST, then at the usual place', async () => {
    const options = { answers: { 'GET /networks': [200, []] }, environment: { MOOR_HOST: 'unix:///env' } } as const;
    for (const line of [
      '-H unix:///a network ls',
      'network ls -H unix:///a',
      'network -H unix:///a ls',
      '-H unix:///b network ls -H unix:///a',
    ]) {
      assert.deepEqual((await moor(line, options)).hosts, ['unix:///a'], line);
    }
    assert.deepEqual((await moor('network ls', options)).hosts, ['unix:///env']);
    assert.deepEqual((await moor('network ls', { ...options, environment: { MOOR_HOST: '' } })).hosts, [
      'unix:///run/moor/moor.sock',
    ]);
  });
  it('hands the daemon all of its words', async () => {
    assert.equal((await moor('daemon --help -H unix:///x')).err, 'moor: daemon --help -H unix:///x\n');
    // In front of it they would be lost.
    const dry = "moor: 'moor daemon' has no --dry-run: with --validate it only checks its configuration\n";
    assert.equal((await moor('--dry-run daemon')).err, dry);
    assert.equal((await moor('-H unix:///x daemon')).err, "moor: --host has to stand behind 'moor daemon'\n");
  });
});

describe('help', () => {
  const lines = [
    [],
    ...COMMANDS.flatMap((node) =>
      node.type === 'group' ? [[node.name], ...node.commands.map(({ name }) => [node.name, name])] : [[node.name]],
    ),
  ];
  it('is what is recorded', async () => {
    const texts = await Promise.all(
      lines.map(async (line) => `$ ${['moor', 'help', ...line].join(' ')}\n${(await moor(['help', ...line])).out}`),
    );
    const actual = texts.join('\n');
    const file = new URL('./help.golden.txt', import.meta.url);
    if (process.env['MOOR_GOLDEN'] === 'write') writeFileSync(file, actual);
    assert.equal(actual, readFileSync(file, 'utf8'), 'MOOR_GOLDEN=write records it anew');
  });
  it('is found in every way', async () => {
    const { out } = await moor('help network rm');
    for (const line of ['network rm --help', 'network rm -h', '--help network rm', 'network --help rm', 'help network remove']) {
      assert.equal((await moor(line)).out, out, line);
    }
    assert.equal((await moor('run -h box --help')).out, (await moor('help run')).out);
    assert.equal((await moor('--version')).out, 'moor version 9.9.9\n');
  });
  it('fits 130 columns and has an example for every command', async () => {
    const groups = COMMANDS.flatMap(({ type, name }) => (type === 'group' ? [name] : []));
    for (const line of lines) {
      const { out } = await moor(['help', ...line]);
      for (const text of out.split('\n')) assert.ok(text.length <= 130, text);
      if (line.length > 0 && !(line.length === 1 && groups.includes(line[0] ?? '')))
        assert.match(out, /Examples:\n {2}# .+\n {2}.*moor /);
    }
  });
});
