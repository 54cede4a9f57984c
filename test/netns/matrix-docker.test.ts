// test-timeout: 240 s
/** The matrix beside a real Docker Engine with a container that publishes a port: everything of ours works, and everything of Docker's. */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { dockerCli, run, type TestDaemon } from '../support/daemon.ts';
import { PEERS } from '../support/docker.ts';
import { busyboxArchive } from '../support/images.ts';
import { type MatrixAgent, matrixAgent } from './matrix-agent.ts';
import { ALIVE, createMatrixLab, type MatrixLab, REMOTE, script } from './matrix-lab.ts';
import { expectedIn } from './matrix-table.ts';

const DOCKERD = `${PEERS}/usr/sbin/dockerd`;
const skip = existsSync(DOCKERD) && dockerCli() !== null ? false : 'no Docker Engine: tools/peers.sh fetches it';

const READY_MS = 60_000;
/** Ports of the container: published, and not. */
const OPEN = 80;
const SHUT = 81;
const PUBLISHED = 7000;
const HOST = '198.51.100.1';

interface Container extends AsyncDisposable {
  readonly agent: MatrixAgent;
  readonly address: string;
  readonly gateway: string;
}

/** Starts Docker on the daemon's host, which takes it and its containers with it, and runs one. */
async function startDocker(daemon: TestDaemon): Promise<() => Promise<Container>> {
  const folder = `${daemon.directory}/docker`;
  const host = `unix://${folder}/sock`;
  const paths = `--data-root ${folder}/data --exec-root ${folder}/exec --pidfile ${folder}/pid -H ${host}`;
  await script(
    daemon,
    `mkdir ${folder}
export PATH=$PATH:${PEERS}/usr/bin:${PEERS}/usr/sbin LD_LIBRARY_PATH=${PEERS}/usr/lib/x86_64-linux-gnu
# A /run of its own: it leaves files there.
unshare --mount sh -c 'mount -t tmpfs tmpfs /run; exec ${DOCKERD} ${paths} --storage-driver vfs' >${folder}/log 2>&1 </dev/null &`,
  );
  const docker = (...args: readonly string[]): ReturnType<typeof run> => run(dockerCli() ?? '', ['-H', host, ...args]);
  const deadline = Date.now() + READY_MS;
  while ((await docker('version')).code !== 0) {
    if (Date.now() > deadline) throw new Error(`dockerd does not start:\n${await script(daemon, `cat ${folder}/log`)}`);
    await sleep(50);
  }
  return async () => {
    const archive = `${folder}/busybox.tar`;
    busyboxArchive(archive);
    for (const line of [`load -i ${archive}`, `run -d --name web -p ${PUBLISHED}:${OPEN} busybox sleep 1000`]) {
      const { code, stderr } = await docker(...line.split(' '));
      assert.equal(code, 0, stderr);
    }
    const format = '{{.State.Pid}} {{.NetworkSettings.IPAddress}} {{.NetworkSettings.Gateway}}';
    const [pid, address = '', gateway = ''] = (await docker('inspect', '-f', format, 'web')).stdout.trim().split(' ');
    const agent = matrixAgent(`/proc/${daemon.holder}/root/proc/${pid}/ns/net`);
    await agent.listen(OPEN, SHUT);
    return { agent, address, gateway, [Symbol.asyncDispose]: () => agent[Symbol.asyncDispose]() };
  };
}

/** What Docker's container can do and be asked for, and that neither side's unpublished ports are open to the other. */
async function dockerWorks(lab: MatrixLab, { agent, address, gateway }: Container): Promise<void> {
  const asks = (who: MatrixAgent, at: string, port: number): Promise<string> => who.ask({ protocol: 'tcp', address: at, port });
  const silent = [
    asks(
      agent,
      lab.question({ protocol: 'tcp', family: 4, origin: 'remote', bound: 'any', target: 'sandbox', shape: 'single' }).address,
      80,
    ),
    asks(lab.agentOf('other'), address, SHUT),
    asks(lab.agentOf('same'), address, SHUT),
  ];
  assert.deepEqual(
    {
      'a remote host to Docker’s port': await asks(lab.agentOf('remote'), HOST, PUBLISHED),
      'localhost to Docker’s port': await asks(lab.agentOf('localhost'), '127.0.0.1', PUBLISHED),
      'Docker’s container to a remote host': await asks(agent, REMOTE[4], ALIVE),
      'a sandbox to a remote host': await asks(lab.agentOf('other'), REMOTE[4], ALIVE),
      'a sandbox to Docker’s port': await asks(lab.agentOf('other'), HOST, PUBLISHED),
      'Docker’s container to our port': await asks(agent, HOST, 8080),
    },
    {
      'a remote host to Docker’s port': `${REMOTE[4]} ${OPEN}`,
      'localhost to Docker’s port': `${gateway} ${OPEN}`,
      'Docker’s container to a remote host': `${HOST} ${ALIVE}`,
      'a sandbox to a remote host': `${HOST} ${ALIVE}`,
      'a sandbox to Docker’s port': `${gateway} ${OPEN}`,
      'Docker’s container to our port': `10.1.0.1 80`,
    },
  );
  // All of those were asked after these, and by the same ways.
  await Promise.all([agent, lab.agentOf('other'), lab.agentOf('same')].map((one) => one.giveUp()));
  assert.deepEqual(await Promise.all(silent), ['silence', 'silence', 'silence']);
}

async function both(lab: MatrixLab, container: Container): Promise<void> {
  const nf = await script(lab.daemon, 'cat /proc/sys/net/bridge/bridge-nf-call-iptables');
  const expect = expectedIn({ bridgeNf: nf.trim() === '1', firewall: 'Docker', allowed: false });
  await dockerWorks(lab, container);
  assert.deepEqual(await lab.run(expect), []);
  assert.deepEqual((await lab.compare(expect)).wrong, []);
  await dockerWorks(lab, container);
}

test('Docker was here first', { skip }, async () => {
  let runContainer: () => Promise<Container> = () => Promise.reject(new Error('Docker does not run'));
  await using lab = await createMatrixLab({
    bridgeNf: true,
    prepare: async (daemon) => void (runContainer = await startDocker(daemon)),
  });
  await lab.agentOf('remote').listen(ALIVE);
  await using container = await runContainer();
  assert.match(await script(lab.daemon, 'iptables -S FORWARD'), /^-P FORWARD DROP/);
  await both(lab, container);
});

test('Docker comes later', { skip }, async () => {
  await using lab = await createMatrixLab({ bridgeNf: false });
  await lab.agentOf('remote').listen(ALIVE);
  const runContainer = await startDocker(lab.daemon);
  await using container = await runContainer();
  await both(lab, container);
  // As the kernel does when Docker has to load br_netfilter. The daemon's next look, at most a minute later, finds it.
  await script(lab.daemon, 'sysctl -qw net.bridge.bridge-nf-call-iptables=1 net.bridge.bridge-nf-call-ip6tables=1');
  assert.equal((await lab.daemon.request('POST', '/moor/reconcile')).status, 200);
  await both(lab, container);
});
