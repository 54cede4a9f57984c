/** What every contestant can do: hold network stacks, make a network, attach a stack to it and detach it. */
import type { Client } from './http.ts';

export interface Network {
  readonly name: string;
  /** `10.61.0.0/20`: room for the 1,000 endpoints of the largest part. The gateway is its first address. */
  readonly subnet: string;
}

export interface Attacher {
  /** Makes the stacks 1 to n that are not there yet: sandboxes, running containers, or bare namespaces. */
  readonly stacks: (n: number) => Promise<void>;
  readonly network: (network: Network) => Promise<void>;
  /** The network's own address. */
  readonly gateway: (network: Network) => string;
  /** @returns milliseconds */
  readonly connect: (network: Network, stack: number) => Promise<number>;
  /** @returns milliseconds */
  readonly disconnect: (network: Network, stack: number) => Promise<number>;
  /** Command line that runs what follows it in a stack. */
  readonly enter: (stack: number) => Promise<readonly string[]>;
}

/** A sandbox or container that servers of a part run in. */
export interface Place {
  /** Command line that runs what follows it there. */
  readonly enter: readonly string[];
  readonly address: string;
}

/** Who can publish ports, too. */
export interface Publisher {
  /** pid of a process in the network namespace that is the contestant's host. */
  readonly holder: number;
  /** @param options.ports `8080:80` @param options.network default: the default network */
  readonly publish: (name: string, options: { readonly ports: readonly string[]; readonly network?: string }) => Promise<Place>;
}

export const network = (name: string, second: number): Network => ({ name, subnet: `10.${second}.0.0/20` });

export const gatewayOf = ({ subnet }: Network): string => subnet.replace(/0\/\d+$/, '1');

export const stackName = (stack: number): string => `bench${stack}`;

/** Both daemons are asked the same, with the same bytes. */
export function dockerApi(client: Client): Pick<Attacher, 'network' | 'gateway' | 'connect' | 'disconnect'> {
  const attachment = (stack: number): object => ({ Container: stackName(stack) });
  return {
    network: async ({ name, subnet }) => {
      await client.call('POST', '/networks/create', { Name: name, Driver: 'bridge', IPAM: { Config: [{ Subnet: subnet }] } });
    },
    gateway: gatewayOf,
    connect: async ({ name }, stack) => (await client.call('POST', `/networks/${name}/connect`, attachment(stack))).ms,
    disconnect: async ({ name }, stack) => (await client.call('POST', `/networks/${name}/disconnect`, attachment(stack))).ms,
  };
}
