// test-timeout: 240 s
/** The store on a real ZooKeeper that ends, is silent, forgets, or takes leases away. */
import { bootClock } from '../../src/base/boot-clock.ts';
import { Connection } from '../../src/store/zookeeper/connection.ts';
import { openZookeeperStore } from '../../src/store/zookeeper/store.ts';
import { NO_ZOOKEEPER, startZookeeper } from '../support/zookeeper.ts';
import { leaseFaultChecks, outageChecks, type ServerSuite } from './store-server.ts';

const PORT = 23_930;

/**
 * Who knows the number of a session knows its password: the server draws it from java.util.Random with that number and one of its own
 * (ZooKeeperServer.generatePasswd, superSecret).
 */
function passwordOf(session: bigint): Buffer {
  const mask = (1n << 48n) - 1n;
  let state = (session ^ 0xb3415c00n ^ 0x5deece66dn) & mask;
  const password = Buffer.alloc(16);
  for (let at = 0; at < 16; at += 4) {
    state = (state * 0x5deece66dn + 0xbn) & mask;
    password.writeInt32LE(Number(BigInt.asIntN(32, state >> 16n)), at);
  }
  return password;
}

const suite: ServerSuite = {
  name: 'ZooKeeper',
  skip: NO_ZOOKEEPER,
  port: PORT,
  startServer: startZookeeper,
  open: openZookeeperStore,
  takeAway: async ({ endpoint }, _store, lease) => {
    const id = BigInt.asIntN(64, BigInt(`0x${lease}`));
    const session = { id, password: passwordOf(id) };
    const options = { tls: null, auth: null, clock: bootClock, timeoutMs: 5_000, sessionMs: 5_000, session };
    const thief = await Connection.open(endpoint, options, new AbortController().signal);
    await thief.end(5_000);
  },
};

outageChecks(suite);
leaseFaultChecks(suite);
