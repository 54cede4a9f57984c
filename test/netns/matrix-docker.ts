/** A real Docker Engine on the host of a matrix test, which takes it and its containers with it. */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { dockerCli, run, type TestDaemon } from '../support/daemon.ts';
import { PEERS } from '../support/docker.ts';
import { busyboxArchive } from '../support/images.ts';
import { placeOn, script } from './matrix-host.ts';
import type { Place } from './packets.ts';

const DOCKERD = `${PEERS}/usr/sbin/dockerd`;

/** For `skip`. */
export const NO_DOCKER = existsSync(DOCKERD) && dockerCli() !== null ? false : 'no Docker Engine: tools/peers.sh fetches it';

const READY_MS = 60_000;

export interface Container {
  readonly place: Place;
  readonly address: string;
  readonly gateway: string;
}

export interface DockerEngine {
  /** The stock CLI, which has to succeed. @returns what it prints */
  readonly cli: (...args: readonly string[]) => Promise<string>;
  /** A container of busybox that sleeps. @param words what comes between `docker run` and the image */
  readonly container: (name: string, ...words: readonly string[]) => Promise<Container>;
}

export async function startDocker(daemon: TestDaemon): Promise<DockerEngine> {
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
  const call = (args: readonly string[]): ReturnType<typeof run> => run(dockerCli() ?? '', ['-H', host, ...args]);
  const cli = async (...args: readonly string[]): Promise<string> => {
    const { code, stdout, stderr } = await call(args);
    assert.equal(code, 0, stderr);
    return stdout.trim();
  };
  const deadline = Date.now() + READY_MS;
  while ((await call(['version'])).code !== 0) {
    if (Date.now() > deadline) throw new Error(`dockerd does not start:\n${await script(daemon, `cat ${folder}/log`)}`);
    await sleep(50);
  }
  const archive = `${folder}/busybox.tar`;
  busyboxArchive(archive);
  await cli('load', '-i', archive);
  const format = '{{.State.Pid}}{{range .NetworkSettings.Networks}} {{.IPAddress}} {{.Gateway}}{{end}}';
  return {
    cli,
    async container(name, ...words) {
      await cli('run', '-d', '--name', name, ...words, 'busybox', 'sleep', '1000');
      const [pid = '', address = '', gateway = ''] = (await cli('inspect', '-f', format, name)).split(' ');
      return { place: placeOn(daemon, `/proc/${pid}/ns/net`), address, gateway };
    },
  };
}
