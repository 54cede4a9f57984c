// test-timeout: 240 s
/** The matrix beside a real Docker Engine with a container that publishes a port: everything of ours works, and everything of Docker's. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type MatrixAgent, matrixAgent } from './matrix-agent.ts';
import { type Container, type DockerEngine, NO_DOCKER, startDocker } from './matrix-docker.ts';
import { ALIVE, FIRST, REMOTE, script } from './matrix-host.ts';
import { createMatrixLab, type MatrixLab } from './matrix-lab.ts';
import { expectedIn } from './matrix-table.ts';

/** Ports of the container: published, and not. */
const OPEN = 80;
const SHUT = 81;
const PUBLISHED = 7000;
const HOST = FIRST[4];

/** Asks by TCP. */
const asks = (who: MatrixAgent, address: string, port: number): Promise<string> => who.ask({ protocol: 'tcp', address, port });

/** What Docker's container can do and be asked for, and that neither side's unpublished ports are open to the other. */
async function dockerWorks(lab: MatrixLab, { address, gateway }: Container, agent: MatrixAgent): Promise<void> {
  const [remote, other, same] = [lab.agentOf('remote'), lab.agentOf('other'), lab.agentOf('same')];
  const ours = lab.question({ protocol: 'tcp', family: 4, origin: 'remote', bound: 'any', target: 'sandbox', shape: 'single' });
  const silent = [agent.ask(ours), asks(other, address, SHUT), asks(same, address, SHUT)];
  assert.deepEqual(
    {
      'a remote host to Docker’s port': await asks(remote, HOST, PUBLISHED),
      'localhost to Docker’s port': await asks(lab.agentOf('localhost'), '127.0.0.1', PUBLISHED),
      'Docker’s container to a remote host': await asks(agent, REMOTE[4], ALIVE),
      'a sandbox to a remote host': await asks(other, REMOTE[4], ALIVE),
      'a sandbox to Docker’s port': await asks(other, HOST, PUBLISHED),
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
  await Promise.all([agent, other, same].map((one) => one.giveUp()));
  assert.deepEqual(await Promise.all(silent), ['silence', 'silence', 'silence']);
}

async function both(lab: MatrixLab, docker: DockerEngine, again: () => Promise<unknown> = async () => {}): Promise<void> {
  await lab.agentOf('remote').listen(ALIVE);
  const container = await docker.container('web', '-p', `${PUBLISHED}:${OPEN}`);
  await using agent = matrixAgent(container.place);
  await agent.listen(OPEN, SHUT);
  for (const change of [async () => {}, again]) {
    await change();
    const nf = await script(lab.daemon, 'cat /proc/sys/net/bridge/bridge-nf-call-iptables');
    const expect = expectedIn({ bridgeNf: nf.trim() === '1', firewall: 'Docker', allowed: false });
    await dockerWorks(lab, container, agent);
    assert.deepEqual(await lab.run(expect), []);
    assert.deepEqual((await lab.compare(expect)).wrong, []);
  }
  await dockerWorks(lab, container, agent);
}

test('Docker was here first', { skip: NO_DOCKER }, async () => {
  const docker = Promise.withResolvers<DockerEngine>();
  await using lab = await createMatrixLab({
    bridgeNf: true,
    prepare: async (daemon) => docker.resolve(await startDocker(daemon)),
  });
  assert.match(await script(lab.daemon, 'iptables -S FORWARD'), /^-P FORWARD DROP/);
  await both(lab, await docker.promise);
});

test('Docker comes later', { skip: NO_DOCKER }, async () => {
  await using lab = await createMatrixLab({ bridgeNf: false });
  const docker = await startDocker(lab.daemon);
  // As the kernel does when Docker has to load br_netfilter. The daemon's next look, at most a minute later, finds it.
  await both(lab, docker, async () => {
    await script(lab.daemon, 'sysctl -qw net.bridge.bridge-nf-call-iptables=1 net.bridge.bridge-nf-call-ip6tables=1');
    assert.equal((await lab.daemon.request('POST', '/moor/reconcile')).status, 200);
  });
});
