// test-timeout: 120 s
/** Debian's docker-compose 1.29 with a file of two networks, aliases, static addresses, a health-check dependency and a named volume. */
import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { run, type TestDaemon } from '../support/daemon.ts';
import { daemonWithBusybox, type Docker, dockerOf, NO_PYTHON, PEERS, PYTHON } from '../support/docker.ts';
import { until } from '../support/snapshot.ts';
import { faults } from '../support/truth.ts';

const FILE = `version: '2.4'
services:
  db:
    image: busybox
    command: sh -c 'echo db starts; sleep 1; mkdir -p /data/www; hostname -i >/data/www/index.html; httpd -f -p 80 -h /data/www'
    volumes: ['state:/data']
    healthcheck:
      test: ['CMD', 'wget', '-q', '-O', '/dev/null', 'http://127.0.0.1/']
      interval: 300ms
      timeout: 5s
      retries: 20
    networks:
      back:
        ipv4_address: 10.93.0.10
        aliases: [database]
  web:
    image: busybox
    command: sh -c 'wget -q -O - http://database/; echo web is up; exec sleep 1000'
    environment: { COLOUR: blue }
    depends_on:
      db: { condition: service_healthy }
    networks:
      front:
        aliases: [site]
      back:
        ipv4_address: 10.93.0.20
networks:
  front: {}
  back:
    driver: bridge
    ipam:
      config: [{ subnet: 10.93.0.0/24, gateway: 10.93.0.1 }]
volumes:
  state: {}
`;

let daemon: TestDaemon;
let docker: Docker;
before(async () => {
  if (NO_PYTHON !== false) return;
  daemon = await daemonWithBusybox();
  docker = dockerOf(daemon);
  mkdirSync(`${daemon.directory}/shop`);
  writeFileSync(`${daemon.directory}/shop/docker-compose.yml`, FILE);
});
after(() => daemon?.[Symbol.asyncDispose]());

/** What it prints on both outputs when it succeeds: progress goes to stderr. */
async function compose(...args: readonly string[]): Promise<string> {
  const env = { ...process.env, ...PYTHON, DOCKER_HOST: daemon.host, COLUMNS: '200' };
  const words = [`${PEERS}/usr/bin/docker-compose`, '-f', `${daemon.directory}/shop/docker-compose.yml`, ...args];
  const { code, stdout, stderr } = await run('/usr/bin/python3', words, { env, timeoutMs: 60_000 });
  assert.equal(code, 0, `docker-compose ${args.join(' ')}: ${stdout}${stderr}\n${daemon.log()}`);
  return stdout + stderr;
}

test('up -d: in order, when what is depended on is healthy', { skip: NO_PYTHON }, async () => {
  const text = await compose('up', '-d');
  assert.match(text, /Creating network "shop_front" with the default driver/);
  assert.match(text, /Creating network "shop_back" with driver "bridge"/);
  assert.match(text, /Creating volume "shop_state" with default driver/);
  assert.ok(text.indexOf('Creating shop_db_1') < text.indexOf('Creating shop_web_1'), text);
  assert.equal(await docker.ok('inspect', '--format', '{{.State.Health.Status}}', 'shop_db_1'), 'healthy');
  const format = '{{range $name, $end := .NetworkSettings.Networks}}{{$name}} {{$end.IPAddress}} {{$end.Aliases}};{{end}}';
  assert.match(await docker.ok('inspect', '--format', format, 'shop_db_1'), /^shop_back 10\.93\.0\.10 \[.*\bdatabase\b.*\];$/);
  assert.match(
    await docker.ok('inspect', '--format', format, 'shop_web_1'),
    /^shop_back 10\.93\.0\.20 \[.*\];shop_front 172\.\d+\.0\.2 \[.*\bsite\b.*\];$/,
  );
});

test('up -d again changes nothing', { skip: NO_PYTHON }, async () => {
  assert.deepEqual((await compose('up', '-d')).trim().split(/\s*\n/).toSorted(), [
    'shop_db_1 is up-to-date',
    'shop_web_1 is up-to-date',
  ]);
});

test('ps, logs, exec -T', { skip: NO_PYTHON }, async () => {
  const listed = await compose('ps');
  assert.match(listed, /^shop_db_1 .* Up \(healthy\)/m);
  assert.match(listed, /^shop_web_1 .* Up /m);
  let logs = '';
  await until(async () => (logs = await compose('logs', '--no-color')).includes('web is up'));
  assert.match(logs, /^db_1 +\| db starts$/m);
  assert.match(logs, /^web_1 +\| 10\.93\.0\.10$/m);
  assert.match(logs, /^web_1 +\| web is up$/m);
  assert.equal(await compose('exec', '-T', 'web', 'sh', '-c', 'echo $COLOUR; ls /sys/class/net'), 'blue\neth0\neth1\nlo\n');
  assert.equal(await compose('exec', '-T', 'web', 'wget', '-q', '-O', '-', 'http://10.93.0.10/'), '10.93.0.10\n');
});

test('services find each other by name, alias and name of the container, in the order of their networks', {
  skip: NO_PYTHON,
}, async () => {
  for (const name of ['db', 'database', 'shop_db_1', 'DB', 'db.shop_back']) {
    assert.equal(await compose('exec', '-T', 'web', 'wget', '-q', '-O', '-', `http://${name}/`), '10.93.0.10\n', name);
  }
  assert.match(await compose('exec', '-T', 'db', 'ping', '-c', '1', 'web'), /^PING web \(10\.93\.0\.20\)/);
  assert.match(await compose('exec', '-T', 'web', 'nslookup', '10.93.0.10'), /name = shop_db_1\.shop_back$/m);
  assert.match(await compose('exec', '-T', 'db', 'sh', '-c', 'nslookup site; true'), /can't find site|NXDOMAIN|SERVFAIL/);
});

test('restart: the same addresses, volume and networks', { skip: NO_PYTHON }, async () => {
  await compose('exec', '-T', 'db', 'sh', '-c', 'echo kept >/data/note');
  const text = await compose('restart', '-t', '1');
  assert.match(text, /Restarting shop_db_1/);
  assert.equal(await compose('exec', '-T', 'db', 'cat', '/data/note'), 'kept\n');
  assert.match(await compose('exec', '-T', 'db', 'ip', '-o', '-4', 'a', 'show', 'eth0'), /inet 10\.93\.0\.10\/24/);
  assert.deepEqual(await faults(daemon), []);
});

test('down -v: all of it is gone', { skip: NO_PYTHON }, async () => {
  const text = await compose('down', '-v', '-t', '1');
  for (const what of ['shop_web_1', 'shop_db_1', 'network shop_front', 'network shop_back', 'volume shop_state']) {
    assert.ok(text.includes(`Removing ${what}`), text);
  }
  assert.equal(await docker.ok('ps', '-aq'), '');
  assert.equal(await docker.ok('volume', 'ls', '-q'), '');
  assert.equal(await docker.ok('network', 'ls', '-q', '--filter', 'type=custom'), '');
  assert.deepEqual(await faults(daemon), []);
});
