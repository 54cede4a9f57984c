/**
 * Publishing with open eyes: whoever publishes a port that a firewall of the host keeps others from is told so. Nothing is done about it:
 * that is the administrator's to decide (docs/adr/0010).
 */
import type { Logger } from '../../base/clock.ts';
import { errorData } from '../../base/errors.ts';
import { addressOf, type Family, familyOf, type IpAddress, parseIp } from '../../base/ip.ts';
import { portSpecs } from '../../containers/service/ports.ts';
import type { Containers } from '../../contracts/containers.ts';
import type { Engine, Outcome } from '../../contracts/engine.ts';
import type { Kernel } from '../../contracts/kernel.ts';
import type { ExposureReport, ExposureRequest } from '../../contracts/exposure.ts';
import { bridgeOf } from '../../drivers/bridge/options.ts';
import { keepTableName } from '../../kernel/keep-table.ts';
import { gatewayMode } from '../../model/gateway-mode.ts';
import type { Network } from '../../model/network.ts';
import type { Endpoint, Sandbox } from '../../model/sandbox.ts';
import type { PortBinding, PortSpec } from '../../model/ports.ts';
import type { Exposure } from './exposure.ts';

/** Milliseconds that an operation waits, when it is done itself, for what there is to say about it. */
const PATIENCE = 500;
/** Stands for a host port that is not chosen yet: what firewalls see of forwarded packets is the sandbox's port. */
const SOME_PORT = 49152;

const ANY: readonly IpAddress[] = [parseIp('0.0.0.0'), parseIp('::')];

export interface Exposed {
  readonly engine: Engine;
  readonly containers: Containers;
  /** @param references of sandboxes or containers; none: all. @throws not-found */
  readonly report: (references: readonly string[]) => Promise<ExposureReport>;
}

/** The same operations, with warnings. */
export function exposed(parts: {
  readonly engine: Engine;
  readonly containers: Containers;
  readonly exposure: Exposure;
  readonly logger: Logger;
  /** Name of our table. */
  readonly table: string;
  readonly tableNames: Kernel['tableNames'];
  /** Whether the shortcut of the loopback is used at the moment. */
  readonly shortcut: () => boolean;
}): Exposed {
  const { engine, containers, exposure, logger, tableNames, shortcut } = parts;
  const own = [parts.table, keepTableName(parts.table)];

  const bridges = (): ExposureRequest['networks'] =>
    engine.networks
      .list()
      .filter(({ driver }) => driver === 'bridge')
      .map((network) => ({ name: network.name, bridge: bridgeOf(network) }));

  const obstacles = async (specs: readonly PortSpec[], networks: readonly string[]): Promise<readonly string[]> => {
    const network = networks.map((name) => found(() => engine.networks.get(name))).find(publishes);
    if (specs.length === 0 || network === undefined) return [];
    const timer = AbortSignal.timeout(PATIENCE);
    const late = new Promise<readonly string[]>((resolve) => timer.addEventListener('abort', () => resolve([]), { once: true }));
    try {
      // The usual host, whose rules are ours alone: no thread and no program has to be started to see that.
      if ((await tableNames()).every(({ family, name }) => family === 'inet' && own.includes(name))) return [];
      return await Promise.race([
        exposure.obstacles({
          ports: specs.flatMap(bindings),
          bridge: bridgeOf(network),
          routed: ([4, 6] as const).filter((family) => gatewayMode(network, family) === 'routed'),
          networks: bridges(),
        }),
        late,
      ]);
    } catch (error) {
      logger.warn({ error: errorData(error) }, 'could not see what the firewalls of this host do to a port that is published');
      return [];
    }
  };

  /** Side by side: what is asked about does not depend on whether it is done already. */
  const warned = async <T>(operation: Promise<Outcome<T>>, asked: Promise<readonly string[]>): Promise<Outcome<T>> => {
    const outcome = await operation;
    return { ...outcome, warnings: [...outcome.warnings, ...(await asked)] };
  };

  const networksOf = (reference: string): readonly string[] =>
    found(() => engine.sandboxes.get(reference))?.endpoints.map(({ networkId }) => networkId) ??
    found(() => containers.get(reference))?.networks.map(({ network }) => network) ??
    [];

  const asked = (sandbox: Sandbox, binding: PortBinding): ExposureRequest['ports'][number] => {
    const direct = routedAddress(sandbox, binding);
    return { sandbox: { id: sandbox.id, name: sandbox.name }, binding, ...(direct === null ? {} : { direct }) };
  };

  /** Its own address, when the network that is its way out has gateway mode `routed`. */
  const routedAddress = ({ endpoints }: Sandbox, { hostAddress }: PortBinding): IpAddress | null => {
    const family = familyOf(hostAddress);
    const offers = endpoints
      .map((endpoint) => ({ endpoint, network: found(() => engine.networks.get(endpoint.networkId)) }))
      .filter(({ endpoint, network }) => publishes(network) && ownAddress(endpoint, family) !== null)
      .toSorted(
        (a, b) =>
          b.endpoint.gatewayPriority - a.endpoint.gatewayPriority || ((a.network?.name ?? '') < (b.network?.name ?? '') ? -1 : 1),
      );
    const [way] = offers;
    if (way?.network === undefined || gatewayMode(way.network, family) !== 'routed') return null;
    return ownAddress(way.endpoint, family);
  };

  /** A container that does not run has no sandbox, and publishes nothing. */
  const running = (reference: string): readonly Sandbox[] => {
    const sandbox = found(() => engine.sandboxes.get(reference));
    if (sandbox !== undefined) return [sandbox];
    containers.get(reference);
    return [];
  };

  return {
    engine: {
      ...engine,
      sandboxes: {
        ...engine.sandboxes,
        create: (spec, options) => {
          const names = (spec.networks ?? [{ network: 'bridge' }]).map(({ network }) => network);
          return warned(engine.sandboxes.create(spec, options), obstacles(spec.ports ?? [], names));
        },
        publish: (reference, specs, options) =>
          warned(engine.sandboxes.publish(reference, specs, options), obstacles(specs, networksOf(reference))),
      },
    },
    containers: {
      ...containers,
      create: async (spec) => {
        const created = await containers.create(spec);
        const { container } = created;
        const said = await obstacles(
          portSpecs(container),
          container.networks.map(({ network }) => network),
        );
        return { ...created, warnings: [...created.warnings, ...said] };
      },
    },
    report: (references) => {
      const wanted = references.length === 0 ? engine.sandboxes.list() : references.flatMap(running);
      return exposure.report({
        ports: wanted.flatMap((sandbox) => (sandbox.ports ?? []).map((binding) => asked(sandbox, binding))),
        networks: bridges(),
        shortcut: shortcut(),
      });
    },
  };
}

const ownAddress = ({ ipv4, ipv6 }: Endpoint, family: Family): IpAddress | null => {
  const address = family === 4 ? ipv4 : ipv6;
  return address === null ? null : addressOf(address);
};

const publishes = (network: Network | undefined): network is Network =>
  network !== undefined && network.driver === 'bridge' && !network.internal;

/** undefined for what is not there: then the operation itself says so. */
function found<T>(get: () => T): T | undefined {
  try {
    return get();
  } catch {
    return undefined;
  }
}

function bindings({ protocol, containerPorts, hostPorts, hostAddress }: PortSpec): readonly PortBinding[] {
  const count = containerPorts.to - containerPorts.from;
  const from = hostPorts?.from ?? SOME_PORT;
  return (hostAddress === null ? ANY : [hostAddress]).map((address) => ({
    protocol,
    containerPorts,
    hostAddress: address,
    hostPorts: { from, to: from + count },
  }));
}
