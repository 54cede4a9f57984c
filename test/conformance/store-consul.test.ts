// test-timeout: 150 s
/** The store contract on a real Consul. */
import { bootClock } from '../../src/base/boot-clock.ts';
import { silentLogger } from '../../src/base/clock.ts';
import { openConsulStore } from '../../src/store/consul/store.ts';
import { ConsulServer, NO_CONSUL } from '../support/consul.ts';
import { storeOnServer } from './store-on-server.ts';

const server = new ConsulServer(23_820);

storeOnServer({
  name: 'consul',
  skip: NO_CONSUL,
  server,
  open: (prefix) => openConsulStore({ endpoints: [server.endpoint], prefix, logger: silentLogger, clock: bootClock }),
  compact: null,
});
