/** What tests of published ports share: bindings as text, and a lab with a process in every place. */
import { writeFileSync } from 'node:fs';
import { parseIp } from '../../src/base/ip.ts';
import { inversePlan, subsume } from '../../src/contracts/inverse.ts';
import type { Change } from '../../src/contracts/change.ts';
import type { Network } from '../../src/model/network.ts';
import type { PortBinding, PortProtocol } from '../../src/model/ports.ts';
import { type Agent, agent } from './agent.ts';
import { createLab, type Lab, type LabOptions, type Sandbox } from './lab.ts';
import type { Place } from './packets.ts';

/** @param ports of host and sandbox: `8080:80/tcp`, `9000-9999/udp` */
export function binding(address: string, ports: string): PortBinding {
  const found = /^([\d-]+)(?::([\d-]+))?\/(tcp|udp|sctp)$/.exec(ports);
  const [, host = '', container = host, protocol = ''] = found ?? [];
  return {
    protocol: protocol as PortProtocol,
    hostAddress: parseIp(address),
    hostPorts: range(host),
    containerPorts: range(container),
  };
}

function range(text: string): { from: number; to: number } {
  const [from = 0, to = from] = text.split('-').map(Number);
  return { from, to };
}

export interface PortsLab extends Lab {
  readonly agentAt: (place: Place) => Agent;
  readonly publish: (network: Network, sandbox: Sandbox, ...ports: readonly PortBinding[]) => Promise<readonly Change[]>;
  /** Takes back what `publish` returned. */
  readonly unpublish: (changes: readonly Change[]) => Promise<void>;
}

export async function createPortsLab(options: LabOptions = {}): Promise<PortsLab> {
  await using stack = new AsyncDisposableStack();
  const lab = stack.use(await createLab(options));
  // Ended before the lab is, whose places they are in.
  const agents = stack.use(new AsyncDisposableStack());
  const known = new Map<Place, Agent>();
  const owned = stack.move();
  return {
    ...lab,
    agentAt(place) {
      const here = known.get(place) ?? agents.use(agent(place));
      known.set(place, here);
      return here;
    },
    async publish(network, { endpoint }, ...ports) {
      const changes = lab.driver.planPorts?.(network, { endpoint, ports }, await lab.facts()) ?? [];
      await lab.apply(changes);
      return changes;
    },
    unpublish: async (changes) => void (await lab.apply(subsume(inversePlan(changes)))),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

/** Whether the rules for IP see bridged frames; part of what a lab restores. */
export const bridgeNf = (value: '0' | '1') => async (): Promise<void> => {
  writeFileSync('/proc/sys/net/bridge/bridge-nf-call-iptables', value);
  writeFileSync('/proc/sys/net/bridge/bridge-nf-call-ip6tables', value);
};

/**
 * How to ask where that answer is expected: one that must come is waited for, one that must not for a second. So a machine that is slow
 * (other agents that start, an emulator) can only pass what should fail, never the reverse.
 */
export const asking = (by: Agent, expected: string): Agent['ask'] => (expected === 'silence' ? by.tries : by.ask);
