/** Docker's JSON of a network, as `GET /networks` answers it, and what its CLI makes of it. */
import type { Method } from '../template/value.ts';
import { ANY, BOOL, mapOf, sliceOf, STRING, struct, TIME } from '../template/shape.ts';
import { goTime } from '../output/age.ts';

export interface DockerNetwork {
  readonly Name: string;
  readonly Id: string;
  readonly Created: string;
  readonly Scope: string;
  readonly Driver: string;
  readonly EnableIPv4: boolean;
  readonly EnableIPv6: boolean;
  readonly Internal: boolean;
  readonly Labels: Readonly<Record<string, string>> | null;
}

/** `network.Inspect` of Docker's API types: what `docker network inspect --format` works on. */
export const NETWORK_SHAPE = struct({
  Name: STRING,
  ID: ['Id', STRING],
  Created: TIME,
  Scope: STRING,
  Driver: STRING,
  EnableIPv4: BOOL,
  EnableIPv6: BOOL,
  IPAM: struct({
    Driver: STRING,
    Options: mapOf(STRING),
    Config: sliceOf(
      struct({ Subnet: STRING, IPRange: STRING, Gateway: STRING, AuxAddress: ['AuxiliaryAddresses', mapOf(STRING)] }),
    ),
  }),
  Internal: BOOL,
  Attachable: BOOL,
  Ingress: BOOL,
  ConfigFrom: struct({ Network: STRING }),
  ConfigOnly: BOOL,
  Containers: mapOf(struct({ Name: STRING, EndpointID: STRING, MacAddress: STRING, IPv4Address: STRING, IPv6Address: STRING })),
  Options: mapOf(STRING),
  Labels: mapOf(STRING),
  Peers: sliceOf(ANY),
  Services: mapOf(ANY),
});

/** Column headings of `docker network ls`, by field. */
export const NETWORK_HEADINGS: Readonly<Record<string, string>> = {
  ID: 'NETWORK ID',
  Name: 'NAME',
  Driver: 'DRIVER',
  Scope: 'SCOPE',
  IPv4: 'IPV4',
  IPv6: 'IPV6',
  Internal: 'INTERNAL',
  Labels: 'LABELS',
  CreatedAt: 'CREATED AT',
};

export const NETWORK_TABLE = 'table {{.ID}}\t{{.Name}}\t{{.Driver}}\t{{.Scope}}';

/** What one row of `network ls` offers to templates. All values are texts. */
export function networkRow(network: DockerNetwork, truncate: boolean): Readonly<Record<string, string | Method>> {
  const labels = Object.entries(network.Labels ?? {});
  return {
    CreatedAt: goTime(network.Created),
    Driver: network.Driver,
    ID: truncate ? network.Id.slice(0, 12) : network.Id,
    IPv4: String(network.EnableIPv4),
    IPv6: String(network.EnableIPv6),
    Internal: String(network.Internal),
    Label: (name: unknown) => network.Labels?.[String(name)] ?? '',
    Labels: labels.map(([key, value]) => `${key}=${value}`).join(','),
    Name: network.Name,
    Scope: network.Scope,
  };
}
