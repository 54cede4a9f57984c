// test-timeout: 240 s
/** The cells of the matrix on a real Docker Engine (20.10, its default settings, IPv4): that what we call Docker's is so. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { NO_DOCKER, startDocker } from './matrix-docker.ts';
import { startHost, wanted } from './matrix-host.ts';
import { createQuestions, type Inhabitant } from './matrix-questions.ts';
import { BOUNDS, type Cell, inDocker, type Outcome } from './matrix-table.ts';

/** Docker starts a process for each port and address. */
const SHAPES = ['single', 'range'] as const;

const expect = (cell: Cell): Outcome | null => (cell.family === 6 || cell.shape === 'shifted' ? null : inDocker(cell));

test('Docker Engine is as we say', { skip: NO_DOCKER }, async () => {
  await using host = await startHost();
  const docker = await startDocker(host);
  for (const [n, name] of [
    [1, 'front'],
    [2, 'back'],
  ] as const)
    await docker.cli('network', 'create', '--subnet', `10.${n}.0.0/24`, name);
  const container = async (name: string, network: string, ports: readonly string[] = []): Promise<Inhabitant> => {
    const { place, address } = await docker.container(name, '--network', network, ...ports.flatMap((port) => ['-p', port]));
    return { place, address: { 4: address } };
  };
  await using questions = await createQuestions(host, {
    itself: await container('web', 'front', wanted(BOUNDS, SHAPES, [4])),
    same: await container('peer', 'front'),
    other: await container('stranger', 'back'),
  });
  assert.deepEqual(await questions.run(expect), []);
});
