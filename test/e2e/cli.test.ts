/** `bin/moor` against a real daemon: what a user sees, and what the kernel says of it. */
// test-timeout: 300 s
import assert from 'node:assert/strict';
import { dirname, resolve } from 'node:path';
import { after, afterEach, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { run, type RunResult, startDaemon, type TestDaemon } from '../support/daemon.ts';
import { withoutCarrier } from '../support/carrier.ts';

const MOOR = resolve(import.meta.dirname, '../../bin/moor');

let daemon: TestDaemon;
before(async () => {
  daemon = await startDaemon();
});
/** What a failed test left must not fail the next one. */
const clearSandboxes = async (): Promise<void> => {
  await script('moor rm -f $(moor ls -q)');
};
after(() => daemon[Symbol.asyncDispose]());

/** Runs moor and wants success. @returns standard output */
async function moor(...args: readonly string[]): Promise<string> {
  const result = await daemon.moor(...args);
  assert.equal(result.code, 0, `moor ${args.join(' ')}: ${result.stderr}`);
  return result.stdout;
}

const json = async <T>(...args: readonly string[]): Promise<T> => JSON.parse(await moor(...args)) as T;

/** A script in the daemon's namespaces, with `moor` on its PATH. */
const script = (text: string): Promise<RunResult> =>
  daemon.inside('timeout', '60', 'bash', '-c', `PATH='${dirname(MOOR)}':$PATH\n${text}`);

/** Everything of the daemon's network namespace that moor could change, without lifetimes and what a device finds out by itself. */
async function kernelState(): Promise<string> {
  const { stdout } = await script(
    'ip -j link; ip -j address; ip -j route show table all; ip -j -6 route show table all; nft -j -s list ruleset; ls -R "$0"; sysctl -a 2>/dev/null | grep -E "forward|disable_ipv6"'.replace(
      '"$0"',
      `'${daemon.directory}/exec'`,
    ),
  );
  return withoutCarrier(stdout).replaceAll(/"(valid_life_time|preferred_life_time|handle)": ?\d+,?/g, '');
}

/** Waits until a condition holds; generous, as the machine may be busy. */
async function until(what: string, condition: () => Promise<boolean>): Promise<void> {
  const deadline = Date.now() + 30_000;
  while (!(await condition())) {
    if (Date.now() > deadline) throw new Error(`not within 30 s: ${what}`);
    await sleep(50);
  }
}

const sandboxNames = async (): Promise<readonly string[]> =>
  (await json<readonly { readonly name: string }[]>('ls', '--json')).map(({ name }) => name).toSorted();

describe('networks and sandboxes', () => {
  before(async () => {
    await moor('network', 'create', '--subnet', '192.168.7.0/24', '--gateway', '192.168.7.1', 'my_net2');
    await moor('network', 'create', 'other');
    await moor('run', '--name', 'web', '--hostname', 'web.example', '--network', 'my_net2', '--ip', '192.168.7.10');
  });
  after(async () => {
    await moor('rm', '-f', 'web');
    await moor('network', 'rm', 'my_net2', 'other');
  });

  it('reach each other by address, and the gateway; another network does not', async () => {
    const near = await daemon.moor('run', '--network', 'my_net2', '--', 'ping', '-c1', '-W5', '192.168.7.10');
    assert.equal(near.code, 0, near.stdout + near.stderr);
    await moor('exec', 'web', '--', 'ping', '-c1', '-W5', '192.168.7.1');
    const far = await daemon.moor('run', '--network', 'other', '--', 'ping', '-c1', '-W1', '192.168.7.10');
    assert.equal(far.code, 1, far.stdout);
  });

  it('have the address, MAC and name that were asked for', async () => {
    const words = ['--network', 'name=my_net2,ip=192.168.7.20', '--mac', '02:00:00:00:00:07', '--network', 'other', '--'];
    const addresses = JSON.parse(await moor('run', ...words, 'ip', '-j', 'address')) as readonly {
      readonly ifname: string;
      readonly address: string;
      readonly addr_info: readonly { readonly local: string }[];
    }[];
    assert.deepEqual(
      addresses.map(({ ifname }) => ifname),
      ['lo', 'eth0', 'eth1'],
    );
    assert.equal(addresses[1]?.address, '02:00:00:00:00:07');
    assert.equal(addresses[1]?.addr_info[0]?.local, '192.168.7.20');
    assert.equal(await moor('exec', 'web', '--', 'hostname'), 'web.example\n');
  });

  it('see files, devices and a host name of their own, and leave the host’s alone', async () => {
    const before = await script(
      'md5sum /etc/hosts /etc/resolv.conf /etc/hostname; hostname; ls /sys/class/net; findmnt -rn | sort',
    );
    assert.match(await moor('exec', 'web', '--', 'cat', '/etc/hosts'), /^192\.168\.7\.10\tweb\.example/m);
    assert.equal(await moor('exec', 'web', '--', 'cat', '/etc/hostname'), 'web.example\n');
    assert.deepEqual((await moor('exec', 'web', '--', 'ls', '/sys/class/net')).trim().split('\n'), ['eth0', 'lo']);
    const written = await daemon.moor(
      'exec',
      'web',
      '--',
      'sh',
      '-c',
      'mount | grep -c " /etc/hosts "; umount /etc/hosts; hostname other',
    );
    assert.equal(written.stdout, '1\n', written.stderr);
    const later = await script(
      'md5sum /etc/hosts /etc/resolv.conf /etc/hostname; hostname; ls /sys/class/net; findmnt -rn | sort',
    );
    assert.equal(later.stdout, before.stdout);
  });

  it('on the host’s network see the host', async () => {
    const host = await script('ip -o link | wc -l; hostname');
    assert.equal(await moor('run', '--network', 'host', '--', 'sh', '-c', 'ip -o link | wc -l; hostname'), host.stdout);
    assert.equal(await moor('run', '--network', 'none', '--', 'sh', '-c', 'ip -o link | wc -l'), '1\n');
  });

  it('are shown as a table and as JSON', async () => {
    assert.match(
      await moor('ls'),
      /^NAME {6}ID {13}NETWORK {3}ADDRESS {8}COMMAND {3}STATUS +PORTS\nweb {7}[0-9a-f]{12} {3}my_net2 {3}192\.168\.7\.10 /,
    );
    assert.deepEqual(await sandboxNames(), ['web']);
    assert.equal(
      await moor('network', 'inspect', '-f', '{{range .Containers}}{{.Name}} {{.IPv4Address}}{{end}}', 'my_net2'),
      'web 192.168.7.10/24\n',
    );
    for (const words of [
      ['network', 'ls'],
      ['status'],
      ['version'],
      ['inspect', 'web'],
      ['reconcile'],
      ['network', 'inspect', 'other'],
    ]) {
      assert.equal(typeof (await json(...words, '--json')), 'object', words.join(' '));
    }
  });

  it('connect and disconnect while they live', async () => {
    await moor('network', 'connect', 'other', 'web');
    assert.match(await moor('exec', 'web', '--', 'ip', '-br', 'link'), /^eth1@/m);
    await moor('network', 'disconnect', 'other', 'web');
    assert.doesNotMatch(await moor('exec', 'web', '--', 'ip', '-br', 'link'), /^eth1/m);
  });

  it('adopt namespaces that others made', async () => {
    const { stdout } =
      await script(`ip netns add lab && moor adopt --name lab --path /run/netns/lab --network my_net2 --ip 192.168.7.30
      ip netns exec lab ping -c1 -W5 192.168.7.10 >/dev/null && echo reached
      moor rm lab; ip -n lab -o link | wc -l; ip netns del lab`);
    assert.match(stdout, /^[0-9a-f]{64}\nreached\nlab\n1\n$/);
  });

  it('do not adopt the namespace of the host', async () => {
    const { code, stderr } = await script('exec moor adopt --name self --pid $$');
    assert.match(stderr, /^moor: cannot adopt \/proc\/\d+\/ns\/net: it is the host's own network namespace: /);
    assert.equal(code, 2);
  });
});

describe('commands', () => {
  afterEach(clearSandboxes);
  it('give their exit status, and a shell’s for what cannot run', async () => {
    const cases: readonly (readonly [status: number, words: readonly string[]])[] = [
      [0, ['run', '--', 'true']],
      [7, ['run', '--', 'sh', '-c', 'exit 7']],
      [137, ['run', '--', 'sh', '-c', 'kill -9 $$']],
      [127, ['run', '--', 'no-such-program']],
      [126, ['run', '--', '/etc/passwd']],
      [127, ['run', '-w', '/no/such/directory', '--', 'true']],
      [125, ['run', '--network', 'no-such-network', '--', 'true']],
      [125, ['run', '--no-such-option']],
      [127, ['exec', 'holder', '--', 'no-such-program']],
      [126, ['exec', 'holder', '--', '/etc/passwd']],
      [9, ['exec', 'holder', '--', 'sh', '-c', 'exit 9']],
      [125, ['exec', 'nobody', '--', 'true']],
    ];
    await moor('run', '--name', 'holder', '--network', 'none');
    for (const [status, words] of cases) {
      const { code, stderr } = await daemon.moor(...words);
      assert.equal(code, status, `moor ${words.join(' ')}: ${stderr}`);
    }
    await moor('rm', 'holder');
    assert.deepEqual(await sandboxNames(), [], 'every sandbox is gone when its command is');
  });

  it('need the rights of root, and say so', async () => {
    const { stdout, stderr } = await script(
      'setpriv --inh-caps=-sys_admin --bounding-set=-sys_admin moor run --network none -- true; echo $?; moor ls -q',
    );
    assert.match(stderr, /^moor: Cannot enter the sandbox: that takes root's rights \(unshare .*EPERM\)\)\n$/);
    assert.equal(stdout, '125\n');
  });

  it('have the caller’s streams, environment, directory and user', async () => {
    const { stdout, stderr } = await script(
      `cd /tmp; export FROM=caller; echo input | moor run --network none -e A=1 -e FROM -- sh -c 'cat; echo "$A $FROM"; pwd; echo oops >&2'
       moor run --network none -u nobody -w / -- sh -c 'id -un; id -G; pwd; echo $HOME'
       moor run --network none --name again -- true; moor run --network none --name again -- true && echo twice`,
    );
    assert.equal(stdout, `input\n1 caller\n/tmp\nnobody\n65534\n/\n/nonexistent\ntwice\n`);
    assert.equal(stderr, 'oops\n');
  });

  it('get signals, and are gone with their sandbox', async () => {
    const { stdout } = await script(
      `moor run --name sig --network none -- sh -c 'trap "echo usr1" USR1; trap "echo term; exit 5" TERM; echo ready; while :; do sleep 0.05; done' >'${daemon.directory}/out' &
       until grep -q ready '${daemon.directory}/out'; do sleep 0.05; done
       kill -USR1 $!; until grep -q usr1 '${daemon.directory}/out'; do sleep 0.05; done
       kill -TERM $!; wait $!; echo $?; cat '${daemon.directory}/out'; moor ls -q`,
    );
    assert.equal(stdout, '5\nready\nusr1\nterm\n');
  });

  it('outlive moor with --detach, and the daemon clears up after them', async () => {
    await moor(
      'run',
      '-d',
      '--name',
      'bg',
      '--log',
      `${daemon.directory}/bg.log`,
      '--network',
      'none',
      '--',
      'sh',
      '-c',
      'echo up; exec sleep 1000',
    );
    assert.match(
      await moor('ls', '--format', '{{.Name}} {{.Status}} {{.Command}}'),
      /^bg Up .* sh -c echo up; exec sleep 1000\n$/,
    );
    await until('the log', async () => (await daemon.inside('cat', `${daemon.directory}/bg.log`)).stdout === 'up\n');
    const refused = await daemon.moor('rm', 'bg');
    assert.notEqual(refused.code, 0, 'a running one needs --force');
    const pid = (await moor('ls', '--format', '{{.Pid}}')).trim();
    await daemon.inside('kill', pid);
    await until('the sandbox is gone', async () => (await sandboxNames()).length === 0);
    await moor('run', '-d', '--name', 'bg', '--network', 'none', '--', 'sleep', '1000');
    await moor('rm', '-f', 'bg');
    assert.equal((await daemon.inside('pgrep', '-f', '^sleep 1000$')).code, 1);
  });

  it('are not left behind by a moor that is killed before it has started anything', async () => {
    // Nobody reads the FIFO: moor hangs on opening its log, when the sandbox is there.
    await script(
      `mkfifo '${daemon.directory}/fifo'; moor run -d --name early --network none --log '${daemon.directory}/fifo' -- sleep 1000 & pid=$!
       until moor ls -q | grep -q .; do sleep 0.1; done; kill -9 $pid; wait $pid || true`,
    );
    await until('the sandbox is gone', async () => (await sandboxNames()).length === 0);
  });

  it('survive the death of moor, and are cleared up after', async () => {
    await script(
      `moor run --name orphan --network none -- sleep 1000 >/dev/null 2>&1 & until moor ls --format '{{.Pid}}' | grep -q .; do sleep 0.1; done; kill -9 $!`,
    );
    assert.deepEqual(await sandboxNames(), ['orphan']);
    await daemon.inside('pkill', '-f', '^sleep 1000$');
    await until('the sandbox is gone', async () => (await sandboxNames()).length === 0);
  });
});

describe('--dry-run', () => {
  it('leaves the kernel as it is, and says what would be done', async () => {
    await moor('network', 'create', '--subnet', '10.99.0.0/24', 'dry');
    await moor('run', '--name', 'still', '--network', 'dry');
    const before = await kernelState();
    const cases: readonly (readonly [words: readonly string[], says: RegExp])[] = [
      [['network', 'create', '--subnet', '10.98.0.0/24', 'new'], /^# create network new.*\nip link add br-/],
      [['network', 'connect', 'bridge', 'still'], /ip link add veth/],
      [['network', 'disconnect', 'dry', 'still'], /ip link del/],
      [['run', '--network', 'dry', '--ip', '10.99.0.77', '--', 'false'], /ip address add 10\.99\.0\.77\/24 dev eth0/],
      [['rm', 'still'], /ip link del/],
      [['network', 'prune'], /^#/],
      [['reset'], /nft delete table inet moor/],
      [['reconcile'], /^Nothing to repair$/m],
    ];
    for (const [words, says] of cases) assert.match(await moor('--dry-run', ...words), says, words.join(' '));
    const refused = await daemon.moor('network', 'rm', '--dry-run', 'dry');
    assert.match(refused.stderr, /has active endpoints/);
    assert.equal(await kernelState(), before);
    await moor('rm', 'still');
    assert.match(await moor('network', 'rm', '--dry-run', 'dry'), /ip link del br-/);
    await moor('network', 'rm', 'dry');
  });
});

describe('bash completion', () => {
  /** What bash offers for a line, from a real interactive shell's completion function. */
  const offered = async (line: string): Promise<readonly string[]> => {
    const { stdout, stderr } = await script(
      `source <(moor completion bash)
       COMP_LINE=${JSON.stringify(line)}; COMP_POINT=\${#COMP_LINE}
       read -ra COMP_WORDS <<<"\${COMP_LINE//=/ = }"; [[ $COMP_LINE == *' ' || $COMP_LINE == *= ]] && [[ $COMP_LINE != *= ]] && COMP_WORDS+=('')
       COMP_CWORD=$((\${#COMP_WORDS[@]} - 1)); compopt() { :; }
       _moor moor "\${COMP_WORDS[COMP_CWORD]}"; printf '%s\\n' "\${COMPREPLY[@]}"`,
    );
    assert.equal(stderr, '');
    return stdout.trim().split('\n');
  };
  before(async () => {
    await moor('network', 'create', 'completed');
    await moor('run', '--name', 'compbox', '--network', 'none');
  });
  after(async () => {
    await moor('rm', 'compbox');
    await moor('network', 'rm', 'completed');
  });
  it('offers commands, options, names of the daemon, files and programs', async () => {
    assert.deepEqual(await offered('moor network in'), ['inspect']);
    assert.deepEqual(await offered('moor network create --sub'), ['--subnet']);
    assert.deepEqual(await offered('moor network rm com'), ['completed']);
    assert.deepEqual(await offered('moor run --network=com'), ['completed']);
    assert.deepEqual(await offered('moor exec '), ['compbox']);
    assert.ok((await offered('moor run -- tru')).includes('true'));
    assert.deepEqual(await offered('moor run --log /etc/hostn'), ['/etc/hostname']);
    assert.deepEqual(await offered('moor exec compbox -- cat /etc/hostn'), ['/etc/hostname']);
  });
});

describe('a terminal', () => {
  it('works as for any program: keys, job control, size, Ctrl-C', async () => {
    const tmux = (...words: readonly string[]): Promise<RunResult> =>
      run('tmux', ['-S', `${daemon.directory}/tmux`, '-f', '/dev/null', ...words]);
    const screen = async (): Promise<string> => (await tmux('capture-pane', '-p', '-t', 's')).stdout;
    const type = (...keys: readonly string[]): Promise<RunResult> => tmux('send-keys', '-t', 's', ...keys);
    const shows = (text: RegExp): Promise<void> => until(`the screen shows ${text}`, async () => text.test(await screen()));
    const shell = `env MOOR_HOST=${daemon.host} PS1=outer= nsenter -t ${daemon.holder} --net --mount --pid bash --norc --noprofile -i`;
    const started = await tmux('new-session', '-d', '-s', 's', '-x', '100', '-y', '40', shell);
    assert.equal(started.code, 0, started.stderr);
    try {
      await shows(/^outer=/m);
      await type(`PS1=outer=; '${MOOR}' run --network none -e PS1=inner= -- bash --norc --noprofile -i`, 'Enter');
      await shows(/^inner=$/m);
      await type('tty >/dev/null && stty size; ip -o link | wc -l', 'Enter');
      await shows(/^40 100\n1$/m);
      // A job of the inner shell is stopped and continued by the inner shell.
      await type('sleep 500', 'Enter');
      await sleep(300);
      await type('C-z');
      await shows(/Stopped +sleep 500/);
      await type('fg', 'Enter');
      await sleep(300);
      await type('C-c');
      await type('echo interrupted=$?', 'Enter');
      await shows(/^interrupted=130$/m);
      await type('exit 3', 'Enter');
      await shows(/^outer=$/m);
      await type('echo status=$?', 'Enter');
      await shows(/^status=3$/m);
      // A plain command: the outer shell's keys stop, continue and interrupt it together with moor.
      await type('clear', 'Enter');
      await type(`'${MOOR}' run --name keys --network none -- sleep 600`, 'Enter');
      await until('the command runs', async () => (await moor('ls', '--format', '{{.Pid}}')).trim() !== '');
      await type('C-z');
      await shows(/Stopped/);
      await type('fg', 'Enter');
      await sleep(300);
      await type('C-c');
      await type('echo status=$?', 'Enter');
      await shows(/^status=130$/m);
      assert.deepEqual(await sandboxNames(), []);
    } finally {
      await tmux('kill-server');
    }
  });
});

describe('without a daemon', () => {
  it('says how to start one', async () => {
    const result = await daemon.inside(MOOR, '-H', 'unix:///tmp/moor-none.sock', 'ls');
    assert.equal(result.code, 8);
    assert.match(
      result.stderr,
      /^moor: Cannot connect to the daemon at unix:\/\/\/tmp\/moor-none\.sock: it does not run: start it as root with 'moor daemon'/,
    );
  });
  it('starts one', async () => {
    const { stdout } = await script(
      `moor daemon --data-root /tmp/moor-second/data --exec-root /tmp/moor-second/exec --pidfile /tmp/moor-second/pid -H unix:///tmp/moor-second/s --help | head -1
       moor daemon --nope; echo $?`,
    );
    assert.match(stdout, /^Usage.*\n1\n$/);
  });
  it('starts the same one as moord does, with all its flags for Node', async () => {
    // It waits for its configuration until somebody writes it.
    const { stdout, stderr } = await script(
      `cd "$(mktemp -d)"; mkfifo config
       for command in moord 'moor daemon'; do
         $command --config-file config & until grep -qa "moord[.]mjs" /proc/$!/cmdline; do sleep 0.1; done
         tr '\\0' ' ' </proc/$!/cmdline; tr '\\0' '\\n' </proc/$!/environ | grep MALLOC
         kill -9 $!; wait $! 2>/dev/null
       done; rm -r "$PWD"`,
    );
    const [first, second] = stdout.split(/(?<=MALLOC.*\n)/);
    assert.match(first ?? '', /--max-semi-space-size=4 .*moord\.mjs --config-file config MALLOC_ARENA_MAX=1\n$/, stderr);
    assert.equal(second, first);
  });
});
