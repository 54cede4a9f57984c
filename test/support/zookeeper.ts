/**
 * Debian's ZooKeeper (tools/stores.sh) as a process of the test, on loopback addresses of the test's own network namespace, with its data
 * in memory. A client of its own beside the store under test is the independent opinion.
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { connect } from 'node:net';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { ServerProcess, started } from './server-process.ts';

const STORES = resolve(import.meta.dirname, '../../.cache/stores');
const JARS = [
  'zookeeper',
  'zookeeper-jute',
  'slf4j-api',
  'slf4j-simple',
  'metrics-core',
  'snappy-java',
  'netty-all',
  'commons-cli',
  'commons-io',
];

const JAVA = join(STORES, 'lib/jvm/bin/java');
const CLASSES = JARS.map((jar) => join(STORES, `java/${jar}.jar`)).join(':');

/** For `skip`: why there is no server to test with; false when there is. */
export const NO_ZOOKEEPER = existsSync(join(STORES, 'java/zookeeper.jar')) ? false : 'there is no zookeeper (run make peers)';

/** Milliseconds for a server to come up, with an election if it is one of several. */
const START_MS = 20_000;
const POLL_MS = 50;
/** Of ZooKeeper's clock; sessions live for 2 to 20 of them by default. Leases of tests may be longer and shorter. */
const TICK_MS = 200;

export interface ZookeeperOptions {
  /** Lines of its configuration. */
  readonly lines?: readonly string[];
  /** Several servers as one cluster: the ports of all of them. */
  readonly cluster?: readonly number[];
}

export class ZookeeperServer extends ServerProcess {
  /** @param port for clients; the two behind it are for other servers. Started by `start`. */
  constructor(port: number, { lines = [], cluster = [] }: ZookeeperOptions = {}) {
    super('zookeeper', port, (folder) => ({
      program: JAVA,
      args: [
        // Starts in a quarter of a second, and takes 60 MB.
        ...['-Xmx192m', '-XX:+UseSerialGC', '-XX:TieredStopAtLevel=1', '-Dorg.slf4j.simpleLogger.defaultLogLevel=warn'],
        ...['-cp', CLASSES],
        ...['org.apache.zookeeper.server.quorum.QuorumPeerMain', join(folder, 'zoo.cfg')],
      ],
      files: {
        'zoo.cfg': [
          `tickTime=${TICK_MS}`,
          'minSessionTimeout=1000',
          // A day: a subnet's lease is that long.
          'maxSessionTimeout=86400000',
          'initLimit=25',
          'syncLimit=10',
          `dataDir=${join(folder, 'data')}`,
          `clientPort=${port}`,
          'clientPortAddress=127.0.0.1',
          'maxClientCnxns=0',
          'admin.enableServer=false',
          '4lw.commands.whitelist=*',
          ...cluster.map((one, index) => `server.${index + 1}=127.0.0.1:${one + 1}:${one + 2}`),
          ...lines,
          '',
        ].join('\n'),
        ...(cluster.length > 0 ? { 'data/myid': `${cluster.indexOf(port) + 1}\n` } : {}),
      },
    }));
  }

  /** Until it serves. */
  async ready(): Promise<void> {
    const end = Date.now() + START_MS;
    for (;;) {
      const answer = await this.word('srvr').catch(String);
      if (/^Mode: /m.test(answer)) return;
      this.assertAlive();
      assert.ok(Date.now() < end, `zookeeper is not ready: ${answer}\n${this.said}`);
      await sleep(POLL_MS);
    }
  }

  /** One of its commands of four letters. */
  word(word: string): Promise<string> {
    return new Promise((done, fail) => {
      let text = '';
      const socket = connect({ host: '127.0.0.1', port: this.port, timeout: 2_000 });
      socket.setEncoding('utf8');
      socket.on('data', (piece: string) => (text += piece));
      socket.on('error', fail);
      socket.on('timeout', () => socket.destroy(new Error('no answer')));
      socket.on('close', () => done(text));
      socket.write(word);
    });
  }

  /** What its own command line says to these commands. */
  async cli(commands: readonly string[]): Promise<string> {
    const main = ['org.apache.zookeeper.ZooKeeperMain', '-server', `127.0.0.1:${this.port}`];
    const child = spawn(JAVA, ['-Xmx64m', '-XX:TieredStopAtLevel=1', '-Dfile.encoding=UTF-8', '-cp', CLASSES, ...main], {
      stdio: ['pipe', 'pipe', 'pipe'],
    });
    let said = '';
    for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', (text: string) => (said += text));
    child.stdin.end([...commands, 'quit', ''].join('\n'));
    await once(child, 'close');
    return said;
  }
}

/** A server that runs, and goes with the test. */
export const startZookeeper = (port: number, options: ZookeeperOptions = {}): Promise<ZookeeperServer> =>
  started(new ZookeeperServer(port, options));
