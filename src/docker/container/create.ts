/** `POST /containers/create`: the three parts of its body as one specification, with the rules that join them. */
import { invalid, MoorError } from '../../base/errors.ts';
import type { ContainerSpec } from '../../contracts/containers.ts';
import type { EndpointSpec } from '../../model/sandbox.ts';
import { type JsonObject, readBody } from '../body.ts';
import { endpointSpec } from '../network-request.ts';
import { queryText } from '../query.ts';
import type { Call, DockerDeps } from '../route.ts';
import { containerConfig } from './config.ts';
import { hostConfig } from './host-config.ts';

export async function create({ containers, apiVersion, system }: DockerDeps, { request, reply, query }: Call): Promise<unknown> {
  if (request.body === undefined || request.body === null) throw invalid('invalid JSON: got EOF while reading request body');
  const { spec, warnings } = containerSpec(readBody(request.body), {
    name: queryText(query, 'name'),
    platform: queryText(query, 'platform'),
    minor: apiVersion(request.raw).minor,
    cgroupVersion: system().cgroupVersion,
  });
  let result: Awaited<ReturnType<typeof containers.create>>;
  try {
    result = await containers.create(spec);
  } catch (error) {
    throw asImageOrInvalid(error);
  }
  reply.code(201);
  return { Id: result.container.id, Warnings: [...result.warnings, ...warnings] };
}

/**
 * To clients 404 means here that the image is not there: they pull it and ask again. Networks and containers that are missing are found
 * out by Docker at the start only.
 */
function asImageOrInvalid(error: unknown): unknown {
  if (!(error instanceof MoorError) || error.kind !== 'not-found' || error.message.startsWith('No such image')) return error;
  return new MoorError('invalid', error.message, { cause: error });
}

export interface CreateOptions {
  readonly name: string;
  readonly platform: string;
  /** Of the API version. */
  readonly minor: number;
  /** Of this machine. */
  readonly cgroupVersion: 1 | 2;
}

/** @throws invalid, unsupported */
export function containerSpec(
  body: JsonObject,
  { name, platform, minor, cgroupVersion }: CreateOptions,
): { readonly spec: ContainerSpec; readonly warnings: readonly string[] } {
  const config = containerConfig(body, { minor });
  const host = hostConfig(body.object('HostConfig') ?? readBody({}), { minor, cgroupVersion });
  if (body.boolean('NetworkDisabled')) throw invalid('NetworkDisabled is not supported: use HostConfig.NetworkMode none');
  const networking = body.object('NetworkingConfig')?.objectMap('EndpointsConfig') ?? {};
  const endpoints = new Map(
    Object.entries(networking).map(([network, settings]) => [network === 'default' ? 'bridge' : network, endpointSpec(settings)]),
  );
  if (minor < 44 && endpoints.size > 1) {
    throw invalid(`Container cannot be created with multiple network endpoints: ${[...endpoints.keys()].join(', ')}`);
  }
  const warnings = takeMac(endpoints, { mode: host.NetworkMode, mac: body.string('MacAddress') ?? '', minor });
  const sysctls = takeSysctls(endpoints, { mode: host.NetworkMode, sysctls: host.Sysctls, minor });
  // As in Docker the mode counts alone only when no network is listed: older clients list one, and leave the mode at its default.
  const [listed = host.NetworkMode] = endpoints.keys();
  const mode = isPrivate(host.NetworkMode) && !endpoints.has(host.NetworkMode) ? listed : host.NetworkMode;
  return {
    spec: {
      ...(name === '' ? {} : { name: name.startsWith('/') ? name.slice(1) : name }),
      ...(platform === '' || minor < 41 ? {} : { platform }),
      config,
      hostConfig: { ...host, NetworkMode: mode, Sysctls: sysctls.kept },
      networks: inOrder(endpoints, mode),
    },
    warnings: [...warnings, ...sysctls.warnings],
  };
}

/** First the network that the mode names, then the others as they were given. */
function inOrder(endpoints: ReadonlyMap<string, EndpointSpec>, mode: string): ContainerSpec['networks'] {
  const listed = [...endpoints].map(([network, endpoint]) => ({ network, endpoint }));
  if (mode.startsWith('container:')) return listed;
  const first = listed.find(({ network }) => network === mode) ?? { network: mode, endpoint: {} };
  return [first, ...listed.filter((one) => one !== first)];
}

interface Legacy {
  readonly mode: string;
  readonly minor: number;
}

const isPrivate = (mode: string): boolean => mode !== 'host' && mode !== 'none' && !mode.startsWith('container:');

/** The endpoint that container-wide settings of older API versions are about. @throws invalid with Docker's text */
function mainEndpoint(endpoints: ReadonlyMap<string, EndpointSpec>, { mode, minor }: Legacy): string {
  if (endpoints.size === 0 || endpoints.has(mode)) return mode;
  const [first] = endpoints.keys();
  if (minor < 44 && first !== undefined) return first;
  throw invalid('HostConfig.NetworkMode must match the identity of a network in NetworkSettings.Networks');
}

/** Until API 1.43 the MAC address was the container's, not the endpoint's. Moves it into the endpoint. @returns warnings */
function takeMac(endpoints: Map<string, EndpointSpec>, legacy: Legacy & { readonly mac: string }): readonly string[] {
  const { mode, mac, minor } = legacy;
  if (mac === '') {
    if (minor < 44) {
      for (const [network, { mac: _, ...endpoint }] of endpoints) endpoints.set(network, endpoint);
    }
    return [];
  }
  if (!isPrivate(mode)) {
    if (minor < 44) throw invalid('conflicting options: mac-address and the network mode');
  } else {
    const network = mainEndpoint(endpoints, legacy);
    const endpoint = endpoints.get(network) ?? {};
    if (minor >= 44 && endpoint.mac !== undefined && endpoint.mac !== mac) {
      throw invalid(
        'the container-wide MAC address must match the endpoint-specific MAC address for the main network, or be left empty',
      );
    }
    endpoints.set(network, { ...endpoint, mac });
  }
  return minor < 44
    ? []
    : ['The container-wide MacAddress field is now deprecated. It should be specified in EndpointsConfig instead.'];
}

/** Docker's endpoint option for sysctls of its interface. */
const SYSCTLS = 'com.docker.network.endpoint.sysctls';

/** Sysctls of eth0 belong to the endpoint since API 1.46: its interface exists only when the container is attached. */
function takeSysctls(
  endpoints: Map<string, EndpointSpec>,
  legacy: Legacy & { readonly sysctls: Readonly<Record<string, string>> },
): { readonly kept: Readonly<Record<string, string>>; readonly warnings: readonly string[] } {
  const { sysctls, mode, minor } = legacy;
  const mine = isPrivate(mode) ? Object.keys(sysctls).filter((key) => /^net\.[^.]+\.[^.]+\.eth[^.]*\./.test(key)) : [];
  const [first] = mine;
  if (first === undefined) return { kept: sysctls, warnings: [] };
  if (minor > 46) {
    throw invalid(`interface specific sysctl setting ${JSON.stringify(first)} must be supplied using driver option '${SYSCTLS}'`);
  }
  const network = mainEndpoint(endpoints, legacy);
  const other = mine.find((key) => key.split('.')[3] !== 'eth0');
  if (other !== undefined) {
    throw invalid(
      `unable to determine network endpoint for sysctl ${other}, use driver option '${SYSCTLS}' to set per-interface sysctls`,
    );
  }
  const moved = mine.map((key) => `${key.replace('.eth0.', '.IFNAME.')}=${sysctls[key]}`).join(',');
  const endpoint = endpoints.get(network) ?? {};
  const before = endpoint.options?.[SYSCTLS];
  // What the endpoint says itself comes later, and wins.
  const options = { ...endpoint.options, [SYSCTLS]: before === undefined ? moved : `${moved},${before}` };
  endpoints.set(network, { ...endpoint, options });
  return {
    kept: Object.fromEntries(Object.entries(sysctls).filter(([key]) => !mine.includes(key))),
    warnings: [
      `Migrated sysctl ${JSON.stringify(mine.join(','))} to DriverOpts{${JSON.stringify(SYSCTLS)}:${JSON.stringify(moved)}}.`,
    ],
  };
}
