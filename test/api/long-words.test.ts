/** Whatever a client sends that is 4,096 characters long, no answer repeats it whole. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { DOCKER_ROUTES } from '../../src/docker/routes.ts';
import { type ContainerApi, startContainerApi } from '../support/container-api.ts';

const LONG = 'n'.repeat(4096);
/** Our texts have a few hundred characters themselves. */
const MOST = 700;

let api: ContainerApi;
before(async () => {
  api = await startContainerApi();
  assert.equal((await api.call('POST', '/containers/create?name=box1', { Image: 'busybox' })).status, 201);
});
after(() => api[Symbol.asyncDispose]());

type Call = Parameters<ContainerApi['call']>;

async function refused(...[method, path, body]: Call): Promise<boolean> {
  const { status, text } = await api.call(method, path, body);
  const what = `${method} ${path} ${JSON.stringify(body ?? '')}`.replaceAll(LONG, 'LONG');
  assert.notEqual(status, 500, `${what}: ${text.slice(0, 200)}`);
  if (status < 400) return false;
  assert.ok(text.length < MOST, `${what}: ${text.length} characters: ${text.slice(0, 200)}`);
  return true;
}

test('as a name in a path, and as a value of a query', async () => {
  let refusals = 0;
  const keys = [
    'filters',
    'fromImage',
    'repo',
    'tag',
    'signal',
    't',
    'condition',
    'path',
    'platform',
    'since',
    'tail',
    'limit',
    'h',
  ];
  for (const { method, path } of DOCKER_ROUTES.filter((route) => route.path !== '/events')) {
    const body = method === 'POST' ? {} : undefined;
    const named = path.replaceAll(/:\w+\+?/g, LONG);
    if (named !== path && (await refused(method, named, body))) refusals++;
    for (const key of keys) {
      if (await refused(method, `${path.replaceAll(/:\w+\+?/g, 'box1')}?${key}=${LONG}`, body)) refusals++;
    }
  }
  assert.ok(refusals > 100, `${refusals} refusals`);
});

const HOST_CONFIG = ['NetworkMode', 'IpcMode', 'PidMode', 'UTSMode', 'CgroupnsMode', 'Runtime', 'Isolation'];
const HOST_LISTS = ['Binds', 'CapAdd', 'SecurityOpt', 'Dns', 'DnsOptions', 'DnsSearch', 'ExtraHosts', 'Links', 'VolumesFrom'];
const create = (body: object): Call => ['POST', '/containers/create', { Image: 'busybox', ...body }];
const network = (body: object): Call => ['POST', '/networks/create', { Name: 'new', ...body }];
const connect = (EndpointConfig: object): Call => ['POST', '/networks/bridge/connect', { Container: 'box1', EndpointConfig }];

const BODIES: readonly Call[] = [
  network({ Name: LONG }),
  network({ Driver: LONG }),
  network({ IPAM: { Driver: LONG } }),
  network({ IPAM: { Config: [{ Subnet: LONG }] } }),
  network({ IPAM: { Config: [{ Subnet: '10.8.0.0/24', IPRange: LONG }] } }),
  network({ IPAM: { Config: [{ Subnet: '10.8.0.0/24', Gateway: LONG }] } }),
  network({ IPAM: { Config: [{ Subnet: '10.8.0.0/24', AuxiliaryAddresses: { [LONG]: 'x' } }] } }),
  network({ Options: { [LONG]: 'x' } }),
  network({ Options: { 'com.docker.network.bridge.name': LONG } }),
  ['POST', '/networks/bridge/connect', { Container: LONG }],
  connect({ MacAddress: LONG }),
  connect({ IPAMConfig: { IPv4Address: LONG } }),
  connect({ Aliases: ['a b', LONG] }),
  connect({ DriverOpts: { 'com.docker.network.endpoint.sysctls': LONG } }),
  ['POST', '/volumes/create', { Name: LONG }],
  ['POST', '/volumes/create', { Name: LONG, DriverOpts: { [LONG]: 'x' } }],
  ['POST', '/volumes/create', { Driver: LONG }],
  ['POST', '/containers/create', { Image: LONG }],
  ['POST', '/containers/create', { Image: `${LONG}:${LONG}` }],
  create({ Hostname: LONG }),
  create({ StopSignal: LONG }),
  create({ WorkingDir: LONG }),
  create({ Volumes: { [LONG]: {} } }),
  create({ ExposedPorts: { [LONG]: {} } }),
  ...HOST_CONFIG.flatMap((key) => [LONG, `container:${LONG}`].map((value) => create({ HostConfig: { [key]: value } }))),
  ...HOST_LISTS.flatMap((key) => [LONG, `${LONG}:a`, `a:${LONG}`].map((value) => create({ HostConfig: { [key]: [value] } }))),
  create({ HostConfig: { PortBindings: { [LONG]: [] } } }),
  create({ HostConfig: { PortBindings: { '80/tcp': [{ HostPort: LONG }] } } }),
  create({ HostConfig: { Tmpfs: { '/a': LONG } } }),
  create({ HostConfig: { LogConfig: { Type: LONG } } }),
  create({ HostConfig: { RestartPolicy: { Name: LONG } } }),
  create({ HostConfig: { Mounts: [{ Type: 'bind', Source: LONG, Target: LONG }] } }),
  create({ NetworkingConfig: { EndpointsConfig: { [LONG]: {} } } }),
  ['POST', '/containers/box1/update', { RestartPolicy: { Name: LONG } }],
];

test('in a body', async () => {
  let refusals = 0;
  for (const call of BODIES) if (await refused(...call)) refusals++;
  assert.ok(refusals > 50, `${refusals} refusals of ${BODIES.length}`);
});
