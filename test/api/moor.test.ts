/** Our own paths on the real engine. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Network } from '../../src/model/network.ts';
import { bindingText } from '../../src/model/ports-text.ts';
import type { PortBinding } from '../../src/model/ports.ts';
import type { Sandbox } from '../../src/model/sandbox.ts';
import { startApi } from '../support/api.ts';

interface Changed<T> {
  readonly value: T;
  readonly warnings: readonly string[];
  readonly plan: { readonly title: string; readonly changes: readonly unknown[]; readonly text: readonly string[] };
}

test('create answers with what was made and how; a dry run says the same and makes nothing', async () => {
  await using api = await startApi();
  const spec = { name: 'my_net2', pools: [{ subnet: '192.168.7.0/24' }] };
  const calls = api.kernel.log.length;
  const dry = await api.call('POST', '/moor/networks?dryRun=1', spec);
  assert.equal(dry.status, 201, dry.text);
  const planned = dry.json() as Changed<Network>;
  assert.equal(planned.plan.title, 'create network my_net2 (bridge)');
  assert.equal(planned.plan.text.length, planned.plan.changes.length);
  assert.ok(
    planned.plan.text.some((line) => /ip link add br-[0-9a-f]{12} .*type bridge/.test(line)),
    planned.plan.text.join('\n'),
  );
  assert.equal(api.kernel.log.length, calls);
  assert.equal((await api.call('GET', '/moor/networks/my_net2')).status, 404);

  const made = (await api.call('POST', '/moor/networks', spec)).json() as Changed<Network>;
  assert.equal(made.value.name, 'my_net2');
  assert.ok(api.kernel.log.length > calls);
  assert.deepEqual((await api.call('GET', '/moor/networks/my_net2')).json(), { network: made.value, attachments: [] });
});

test('a sandbox from creation to removal', async () => {
  await using api = await startApi();
  await api.call('POST', '/moor/networks', { name: 'neta', pools: [{ subnet: '10.1.0.0/24' }] });
  const made = await api.call('POST', '/moor/sandboxes', {
    name: 'box1',
    hostname: 'box',
    labels: { a: 'b' },
    networks: [{ network: 'neta', endpoint: { ipv4: '10.1.0.5', aliases: ['web'] } }],
    autoRemove: false,
  });
  assert.equal(made.status, 201, made.text);
  const { value } = made.json() as Changed<Sandbox>;
  const { network, attachments } = (await api.call('GET', '/moor/networks/neta')).json() as {
    network: Network;
    attachments: readonly { sandbox: unknown; endpoint: { ipv4: string } }[];
  };
  assert.equal(network.name, 'neta');
  assert.deepEqual(attachments[0]?.sandbox, { id: value.id, name: 'box1' });
  assert.equal(attachments[0]?.endpoint.ipv4, '10.1.0.5/24');

  const enter = (await api.call('GET', '/moor/sandboxes/box1/enter')).json() as Readonly<Record<string, unknown>>;
  assert.equal(enter['id'], value.id);
  assert.equal(enter['hostname'], 'box');
  assert.equal(enter['netns'], value.netns.type === 'host' ? null : value.netns.path);
  assert.ok(Object.keys(enter['files'] as object).includes('/etc/resolv.conf'));

  api.alive.add(4711);
  const process = { pid: 4711, startTime: '12345', command: ['sleep', '60'] };
  const named = await api.call('POST', '/moor/sandboxes/box1/process', process);
  assert.equal(named.status, 200, named.text);
  assert.deepEqual((named.json() as Sandbox).process, process);

  const running = await api.call('DELETE', '/moor/sandboxes/box1');
  assert.equal(running.status, 409);
  assert.deepEqual(Object.keys(running.json() as object), ['message', 'kind']);
  const removed = await api.call('DELETE', '/moor/sandboxes/box1?force=1');
  assert.equal(removed.status, 200, removed.text);
  assert.equal(api.alive.has(4711), false);
  assert.deepEqual((await api.call('GET', '/moor/sandboxes')).json(), []);
});

test('the host network has no namespace of its own', async () => {
  await using api = await startApi();
  await api.call('POST', '/moor/sandboxes', { name: 'box1', networks: [{ network: 'host' }] });
  assert.equal(((await api.call('GET', '/moor/sandboxes/box1/enter')).json() as { netns: unknown }).netns, null);
});

test('connect, disconnect, prune and reset, dry and for real', async () => {
  await using api = await startApi();
  await api.call('POST', '/moor/networks', { name: 'neta' });
  await api.call('POST', '/moor/sandboxes', { name: 'box1', networks: [] });
  const dry = await api.call('POST', '/moor/networks/neta/connect?dryRun=1', { sandbox: 'box1' });
  assert.equal(dry.status, 200, dry.text);
  assert.ok((dry.json() as Changed<unknown>).plan.text.length > 0);
  assert.deepEqual(((await api.call('GET', '/moor/networks/neta')).json() as { attachments: unknown[] }).attachments, []);
  const connected = await api.call('POST', '/moor/networks/neta/connect', { sandbox: 'box1', endpoint: { aliases: ['x'] } });
  assert.equal(connected.status, 200, connected.text);
  const disconnected = await api.call('POST', '/moor/networks/neta/disconnect', { sandbox: 'box1', force: true });
  assert.equal(disconnected.status, 200, disconnected.text);
  assert.deepEqual(((await api.call('POST', '/moor/networks/prune?dryRun=1')).json() as Changed<unknown>).value, {
    networks: ['neta'],
  });
  assert.deepEqual(((await api.call('POST', '/moor/networks/prune')).json() as Changed<unknown>).value, { networks: ['neta'] });
  assert.deepEqual((await api.call('POST', '/moor/reconcile?dryRun=1')).json(), {
    value: null,
    warnings: [],
    plan: { title: 'reconcile', changes: [], text: [] },
  });
  assert.deepEqual((await api.call('POST', '/moor/reconcile')).json(), { repaired: [] });
  const reset = await api.call('POST', '/moor/reset');
  assert.equal(reset.status, 200, reset.text);
  assert.deepEqual((await api.call('GET', '/moor/sandboxes')).json(), []);
});

test('status: what the engine knows, which daemon it is, and counts beyond 2^53 as text', async () => {
  await using api = await startApi();
  await api.call('POST', '/moor/networks', { name: 'six', ipv6: true });
  const status = (await api.call('GET', '/moor/status')).json() as Readonly<Record<string, unknown>>;
  for (const [key, value] of Object.entries({
    pid: 1234,
    dataRoot: '/t/data',
    execRoot: '/t/exec',
    version: '0.0.1',
    instance: '',
  })) {
    assert.equal(status[key], value, key);
  }
  const pools = status['pools'] as readonly { subnet: string; size: string }[];
  const six = pools.find(({ subnet }) => subnet.includes(':'));
  assert.ok(six && BigInt(six.size) > 2n ** 53n, JSON.stringify(six));
});

test('a flag in the query is 1 or 0', async () => {
  await using api = await startApi();
  const bad = await api.call('POST', '/moor/networks?dryRun=maybe', { name: 'neta' });
  assert.deepEqual([bad.status, bad.json()], [400, { message: 'invalid value for dryRun: it is 1 or 0', kind: 'invalid' }]);
  assert.equal((await api.call('GET', '/moor/networks/neta')).status, 404, 'a dry run asked for badly is no real run');
});

test('ports: with the sandbox, more of them, fewer, and the list', async () => {
  await using api = await startApi();
  const call = async (
    method: 'POST' | 'DELETE',
    path: string,
    body?: object,
  ): Promise<readonly [number, string, Changed<never>]> => {
    const answer = await api.call(method, path, body);
    const json = answer.json() as Changed<never> & { readonly message?: string };
    return [answer.status, json.message ?? '', json];
  };
  const texts = async (): Promise<string[]> =>
    ((await api.call('GET', '/moor/ports')).json() as (PortBinding & { readonly sandbox: { readonly name: string } })[]).map(
      ({ sandbox, ...binding }) => `${sandbox.name} ${bindingText(binding)}`,
    );
  assert.deepEqual(
    await call('POST', '/moor/sandboxes', { name: 'web', ports: ['x:80'] }).then(([status, text]) => [status, text]),
    [400, 'invalid hostPort: x'],
  );
  assert.equal((await call('POST', '/moor/sandboxes', { name: 'web', ports: ['8080:80'] }))[0], 201);
  const [, , dry] = await call('POST', '/moor/sandboxes/web/ports?dryRun=1', { ports: ['8443:443'] });
  assert.match(dry.plan.text.join('\n'), /^nft add element inet moor .*8443/);
  assert.deepEqual(await texts(), ['web 0.0.0.0:8080->80/tcp']);
  assert.equal((await call('POST', '/moor/sandboxes/web/ports', { ports: ['8443:443', '53/udp'] }))[0], 200);
  assert.deepEqual(await texts(), ['web 0.0.0.0:8080->80/tcp', 'web 0.0.0.0:8443->443/tcp', 'web 0.0.0.0:32768->53/udp']);
  assert.equal((await call('DELETE', '/moor/sandboxes/web/ports?ports=443,53/udp'))[0], 200);
  assert.deepEqual(await texts(), ['web 0.0.0.0:8080->80/tcp']);
  for (const [method, path, body, status, text] of [
    ['POST', '/moor/sandboxes/web/ports', { ports: ['8080:81'] }, 409, /port is already allocated by container web$/],
    ['POST', '/moor/sandboxes/web/ports', { ports: [] }, 400, /^no port specified$/],
    ['POST', '/moor/sandboxes/web/ports', {}, 400, /"ports" is missing/],
    ['POST', '/moor/sandboxes/nope/ports', { ports: ['80'] }, 404, /^No such container: nope$/],
    ['DELETE', '/moor/sandboxes/web/ports', undefined, 400, /^no port specified: <empty>$/],
    ['DELETE', '/moor/sandboxes/web/ports?ports=99', undefined, 404, /^No public port '99\/tcp' published for web$/],
  ] as const) {
    const [code, message] = await call(method, path, body);
    assert.equal(code, status, `${method} ${path}: ${message}`);
    assert.match(message, text);
  }
});
