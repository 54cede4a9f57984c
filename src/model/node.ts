/** Hosts of a cluster, and their parts of networks that span hosts. Plain data. */
import type { Id } from '../base/ids.ts';
import type { IfAddress, IpAddress, Prefix } from '../base/ip.ts';
import type { Mac } from '../base/mac.ts';

/** A host, as the others know it. */
export interface ClusterNode {
  /** Unique in the cluster: the host's name, unless `--node-name` says otherwise. */
  readonly name: string;
  /** Where it is reached on the underlay: one of a family at most, the preferred family first. */
  readonly addresses: readonly IpAddress[];
  /** Of the underlay device, bytes. */
  readonly mtu: number;
  readonly version: string;
  /** Names of kernel features that it has. */
  readonly features: readonly string[];
  /** ISO 8601 in UTC */
  readonly started: string;
}

/** Where this host meets the others of its cluster. */
export interface Underlay {
  /** This host's name in the cluster. */
  readonly node: string;
  readonly device: string;
  /** Of the device, bytes. */
  readonly mtu: number;
  /** Those of `ClusterNode.addresses`, with the lengths that they have on the device. */
  readonly addresses: readonly IfAddress[];
  /** Addresses of other hosts, and what the way there takes, bytes, where that is less than `mtu`. */
  readonly paths?: Readonly<Record<IpAddress, number>>;
  /** UDP inside of VXLAN arrives with wrong checksums when they are left to a device. */
  readonly brokenChecksums?: boolean;
}

/** What packets of the underlay's size found out about the way to another host. */
export interface PathReport {
  /** `ok`: they come back. `small`: only smaller ones do. `silent`: none do: the host is away, or does not answer ICMP echo. */
  readonly state: 'ok' | 'small' | 'silent';
  /** Size that was tried, bytes. */
  readonly asked: number;
  /** The largest that came back, bytes, also from before the other end fell silent; null: none ever did. */
  readonly mtu: number | null;
}

/** What a host tells the others of its part of a routed network, besides its subnets. */
export interface NodePart {
  /** Of its VTEP (backend vxlan), for each family. */
  readonly vtep4?: Mac;
  readonly vtep6?: Mac;
  /** UDP port of its tunnel (backend udp). */
  readonly port?: number;
  /** It has endpoints on the network, which then cannot be removed on another host. */
  readonly inUse: boolean;
}

/** Another host's part of a routed network: which addresses are behind it, and how it is reached. */
export interface Peer {
  readonly node: string;
  /** On the underlay. */
  readonly address: IpAddress;
  /** All that it has there, one of a family at most. Absent: only that one is known. */
  readonly addresses?: readonly IpAddress[];
  readonly subnets: readonly Prefix[];
  /** Of its VTEP (backend vxlan), for each family. */
  readonly vtep4?: Mac;
  readonly vtep6?: Mac;
  /** UDP port of its tunnel (backend udp). */
  readonly port?: number;
  /** It runs Moorline; otherwise it is a flanneld. */
  readonly own: boolean;
}

/** What a host tells the others of an endpoint of its own on a network that spans hosts. */
export interface LocalEndpoint {
  readonly id: Id;
  /** Of the container or sandbox, for people. */
  readonly sandbox: string;
  readonly sandboxId: Id;
  readonly mac: Mac | null;
  /** One of a family at most. */
  readonly addresses: readonly IpAddress[];
  /** What the name service answers for it, as `NameRecord.names`. */
  readonly names: readonly string[];
}

/** The same, of another host. */
export interface RemoteEndpoint extends LocalEndpoint {
  readonly node: string;
  /** Where that host is reached on the underlay: its VTEPs, one of a family at most. */
  readonly hosts: readonly IpAddress[];
}
