/** Docker's `NetworkSettings` of an inspection, of a container as of a bare sandbox. */
import type { Sandbox } from '../../model/sandbox.ts';

interface NetworkSettingsParts {
  /** null: there is none while a container does not run. */
  readonly sandbox: Sandbox | null;
  readonly ports: unknown;
  /** Endpoint settings by network name. */
  readonly networks: Readonly<Record<string, Readonly<Record<string, unknown>>>>;
}

export function networkSettings({ sandbox, ports, networks }: NetworkSettingsParts): Readonly<Record<string, unknown>> {
  // Older clients read the default network's endpoint at the top level.
  const legacy = networks['bridge'] ?? {};
  return {
    Bridge: '',
    SandboxID: sandbox?.id ?? '',
    SandboxKey: sandbox === null || sandbox.netns.type === 'host' ? '' : sandbox.netns.path,
    Ports: ports,
    HairpinMode: false,
    LinkLocalIPv6Address: '',
    LinkLocalIPv6PrefixLen: 0,
    SecondaryIPAddresses: null,
    SecondaryIPv6Addresses: null,
    EndpointID: legacy['EndpointID'] ?? '',
    Gateway: legacy['Gateway'] ?? '',
    GlobalIPv6Address: legacy['GlobalIPv6Address'] ?? '',
    GlobalIPv6PrefixLen: legacy['GlobalIPv6PrefixLen'] ?? 0,
    IPAddress: legacy['IPAddress'] ?? '',
    IPPrefixLen: legacy['IPPrefixLen'] ?? 0,
    IPv6Gateway: legacy['IPv6Gateway'] ?? '',
    MacAddress: legacy['MacAddress'] ?? '',
    Networks: networks,
  };
}
