/** From what a user asked to publish to bindings: addresses and numbers are decided, and the ports are held. */
import { conflict, exhausted, MoorError } from '../base/errors.ts';
import type { Id } from '../base/ids.ts';
import { addressOf, familyOf, type IpAddress } from '../base/ip.ts';
import type { HostPort, HostPortRefusal, HostPorts } from '../contracts/host-ports.ts';
import { gatewayMode } from '../model/gateway-mode.ts';
import { portCount } from '../model/ports-parse.ts';
import { hostText, rangeText } from '../model/ports-text.ts';
import { HOST_BINDING_OPTION, type PortBinding, type PortRange, type PortSpec } from '../model/ports.ts';
import type { Context, Undo } from './context.ts';
import { isAny } from './port-table.ts';
import type { Way, Ways } from './way.ts';

/** Ports of the host that bindings are about. */
export const hostPortsOf = (bindings: readonly PortBinding[]): HostPort[] =>
  bindings
    .filter(({ routed }) => routed !== true)
    .map(({ protocol, hostAddress, hostPorts }) => ({ protocol, address: hostAddress, ports: hostPorts }));

export interface Reserve {
  readonly owner: Id;
  readonly specs: readonly PortSpec[];
  readonly ways: Ways;
  /** What the owner has: what is wanted still is kept, and other families get the same numbers. */
  readonly have: readonly PortBinding[];
  /** Told of what cannot be had; without it that is thrown. */
  readonly failed?: (spec: PortSpec, error: MoorError) => void;
}

/**
 * @returns all bindings, kept ones included. New ones are held until `undo` runs.
 * @throws conflict with Docker's texts, which name who has the port; exhausted; unavailable for an address that the host does not have
 */
export async function reservePorts(
  ctx: Context,
  { owner, specs, ways, have, failed }: Reserve,
  undo: Undo,
): Promise<PortBinding[]> {
  const out: PortBinding[] = [];
  const left = [...have];
  // Exact numbers first: they may lie where free ones are looked for.
  const wishes = specs
    .toSorted((a, b) => Number(isChoice(a)) - Number(isChoice(b)))
    .map((spec) => {
      const addresses = addressesOf(ctx, spec, ways);
      const kept = addresses.flatMap((address) => takeOut(left, spec, { address, routed: isRouted(ways, address) }) ?? []);
      return { spec, kept, missing: addresses.filter((address) => !kept.some(({ hostAddress }) => hostAddress === address)) };
    });
  // Before: one of these may be the same port on another address.
  await giveBack(ctx, { owner, bindings: left }, undo);
  for (const { spec, kept, missing } of wishes) {
    out.push(...kept);
    if (missing.length === 0) continue;
    const numbers = kept[0]?.hostPorts ?? left.find((one) => fits(one, spec))?.hostPorts ?? null;
    const held = missing.filter((address) => !isRouted(ways, address));
    try {
      const wanted = numbers === null ? spec : { ...spec, hostPorts: numbers };
      const { protocol, containerPorts } = spec;
      const hostPorts =
        held.length > 0
          ? await choose(ctx, { owner, spec: wanted, addresses: held, ways }, undo)
          : wanted.hostPorts === null || isChoice(wanted)
            ? containerPorts
            : wanted.hostPorts;
      for (const hostAddress of missing) {
        const routed = held.includes(hostAddress) ? {} : { routed: true as const };
        out.push({ protocol, hostAddress, hostPorts, containerPorts, ...routed });
      }
    } catch (error) {
      if (failed === undefined || !(error instanceof MoorError)) throw error;
      failed(spec, error);
    }
  }
  return out;
}

/** What is not wanted any more, until `undo` runs. */
async function giveBack(
  ctx: Context,
  { owner, bindings }: { readonly owner: Id; readonly bindings: readonly PortBinding[] },
  undo: Undo,
): Promise<void> {
  const ports = hostPortsOf(bindings);
  if (ports.length === 0) return;
  await releasePorts(ctx, owner, ports);
  undo.defer(async () => {
    for (const one of ports) ctx.portTable.take(owner, one);
    await ctx.kernel.hostPorts.hold(ports);
  });
}

export async function releasePorts(ctx: Context, owner: Id, ports: readonly HostPort[]): Promise<void> {
  if (ports.length === 0) return;
  await ctx.kernel.hostPorts.release(ports);
  for (const one of ports) ctx.portTable.free(owner, one);
}

/** The numbers are ours to choose. */
const isChoice = ({ hostPorts, containerPorts }: PortSpec): boolean =>
  hostPorts === null || portCount(hostPorts) !== portCount(containerPorts);

/** Whether a binding may be what a request has led to. */
export function fits({ protocol, hostPorts, containerPorts }: PortBinding, spec: PortSpec): boolean {
  return (
    protocol === spec.protocol &&
    containerPorts.from === spec.containerPorts.from &&
    containerPorts.to === spec.containerPorts.to &&
    (spec.hostPorts === null || (hostPorts.from >= spec.hostPorts.from && hostPorts.to <= spec.hostPorts.to))
  );
}

function takeOut(
  list: PortBinding[],
  spec: PortSpec,
  { address, routed }: { readonly address: IpAddress; readonly routed: boolean },
): PortBinding | null {
  const at = list.findIndex((one) => one.hostAddress === address && (one.routed === true) === routed && fits(one, spec));
  return at < 0 ? null : (list.splice(at, 1)[0] ?? null);
}

/**
 * Host addresses that a request is about, of those families that have a way out. Docker's rules: without an address the network's default
 * counts: `0.0.0.0` is every address of both families, anything else is of its own family alone.
 */
function addressesOf(ctx: Context, { hostAddress }: PortSpec, { v4, v6 }: Ways): IpAddress[] {
  if (hostAddress !== null) return (familyOf(hostAddress) === 4 ? v4 : v6) === null ? [] : [hostAddress];
  const [four, six] = [v4 && defaultAddress(ctx, v4), v6 && defaultAddress(ctx, v6)];
  return [
    ...(four === null || familyOf(four) === 6 ? [] : [four]),
    ...(six === null || (familyOf(six) === 4 && !isAny(six)) ? [] : [familyOf(six) === 6 ? six : ('::' as IpAddress)]),
  ];
}

const defaultAddress = (ctx: Context, { network }: Way): IpAddress =>
  (network.options[HOST_BINDING_OPTION] as IpAddress | undefined) ?? ctx.config.hostAddress ?? ('0.0.0.0' as IpAddress);

/** Whether the way out of an address's family translates nothing. */
function isRouted({ v4, v6 }: Ways, address: IpAddress): boolean {
  const family = familyOf(address);
  const way = family === 4 ? v4 : v6;
  return way !== null && gatewayMode(way.network, family) === 'routed';
}

interface Choice {
  readonly owner: Id;
  readonly spec: PortSpec;
  readonly addresses: readonly IpAddress[];
  readonly ways: Ways;
}

async function choose(ctx: Context, choice: Choice, undo: Undo): Promise<PortRange> {
  const { spec } = choice;
  if (spec.hostPorts !== null && !isChoice(spec)) return take(ctx, choice, { ports: spec.hostPorts, undo });
  const { hostPorts } = spec;
  if (hostPorts !== null) return search(ctx, choice, { within: hostPorts, reserved: [], first: hostPorts.from, undo });
  const { range, reserved } = await ctx.kernel.hostPorts.automatic();
  const first = ctx.portTable.cursor(spec.protocol, range.from);
  const found = await search(ctx, choice, { within: range, reserved, first, undo });
  ctx.portTable.moveCursor(spec.protocol, found.to + 1);
  return found;
}

/** Exactly these. */
async function take(
  ctx: Context,
  choice: Choice,
  { ports, undo }: { readonly ports: PortRange; readonly undo: Undo },
): Promise<PortRange> {
  const result = await tryTake(ctx, choice, { ports, undo });
  if (result === null) return ports;
  if ('owner' in result) {
    const owner = ctx.registry.sandboxes.get(result.owner)?.name;
    const whose = owner === undefined ? '' : ` by container ${owner}`;
    throw conflict(`Bind for ${hostText(result.address)}:${result.port} failed: port is already allocated${whose}`);
  }
  throw await refusalError(ctx.kernel.hostPorts, choice, { refusal: result, ports });
}

type Taken = Awaited<ReturnType<typeof tryTake>>;

/** @returns null: they are ours; otherwise who or what stands against it, and nothing was taken. */
async function tryTake(
  ctx: Context,
  { owner, spec: { protocol }, addresses }: Choice,
  { ports, undo }: { readonly ports: PortRange; readonly undo: Undo },
): Promise<ReturnType<Context['portTable']['clash']> | HostPortRefusal> {
  const wanted = addresses.map((address): HostPort => ({ protocol, address, ports }));
  for (const one of wanted) {
    const clash = ctx.portTable.clash(one);
    if (clash !== null) return clash;
  }
  // At once: whoever comes while the kernel is asked finds it taken.
  for (const one of wanted) ctx.portTable.take(owner, one);
  const free = (): void => {
    for (const one of wanted) ctx.portTable.free(owner, one);
  };
  try {
    const refusal = await ctx.kernel.hostPorts.hold(wanted);
    if (refusal !== null) {
      free();
      return refusal;
    }
  } catch (error) {
    free();
    throw error;
  }
  undo.defer(() => releasePorts(ctx, owner, wanted));
  return null;
}

interface Search {
  readonly within: PortRange;
  readonly reserved: readonly PortRange[];
  readonly first: number;
  readonly undo: Undo;
}

/** The first free ports of a range, as many as the container's: in a row. From `first` on, then from the beginning. */
async function search(ctx: Context, choice: Choice, { within, reserved, first, undo }: Search): Promise<PortRange> {
  const count = portCount(choice.spec.containerPorts);
  const last = within.to - count + 1;
  const starts = [
    { from: Math.max(first, within.from), to: last },
    { from: within.from, to: Math.min(first - 1, last) },
  ];
  for (const { from, to } of starts) {
    for (let port = from; port <= to; ) {
      const ports = { from: port, to: port + count - 1 };
      const aside = reserved.find((one) => one.from <= ports.to && one.to >= ports.from);
      const result: Taken | PortRange = aside ?? (await tryTake(ctx, choice, { ports, undo }));
      if (result === null) return ports;
      if ('reason' in result && result.reason === 'no-address') {
        throw await refusalError(ctx.kernel.hostPorts, choice, { refusal: result, ports });
      }
      port = ('to' in result ? result.to : result.port) + 1;
    }
  }
  const where = choice.addresses.map(hostText).join(' and ');
  throw exhausted(
    `all ports are allocated: ${count === 1 ? 'none' : `no ${count} in a row`} of ${rangeText(within)}/${choice.spec.protocol} on ${where} ${count === 1 ? 'is' : 'are'} free`,
  );
}

/** Docker's words, and who has it. */
async function refusalError(
  hostPorts: HostPorts,
  { spec, ways }: Choice,
  { refusal, ports }: { readonly refusal: HostPortRefusal; readonly ports: PortRange },
): Promise<MoorError> {
  const { address, port, protocol, reason } = refusal;
  const endpoint = (familyOf(address) === 4 ? ways.v4 : ways.v6)?.endpoint;
  const inside = familyOf(address) === 4 ? endpoint?.ipv4 : endpoint?.ipv6;
  const containerPort = spec.containerPorts.from + port - ports.from;
  const target = inside === null || inside === undefined ? '' : `${hostText(addressOf(inside))}:`;
  const what = `failed to bind host port for ${hostText(address)}:${port}:${target}${containerPort}/${protocol}`;
  if (reason === 'no-address') return new MoorError('unavailable', `${what}: cannot assign requested address`);
  const holder = await hostPorts.holder(refusal);
  return conflict(`${what}: address already in use${holder === null ? '' : ` by ${holder.name} (pid ${holder.pid})`}`);
}
