/** A sandbox is one network stack; an endpoint attaches it to one network. Plain data, stored as it is. */
import type { Id } from '../base/ids.ts';
import type { IfAddress } from '../base/ip.ts';
import type { Mac } from '../base/mac.ts';
import type { PortBinding, PortSpec } from './ports.ts';

export interface Endpoint {
  readonly id: Id;
  readonly networkId: Id;
  readonly sandboxId: Id;
  readonly created: string;
  /** Interface inside the sandbox; '' on the networks `host` and `none`. */
  readonly interfaceName: string;
  /** Host end of the veth pair, `veth<7 hex>`; '' where the driver makes none. */
  readonly hostInterfaceName: string;
  readonly mac: Mac | null;
  readonly ipv4: IfAddress | null;
  readonly ipv6: IfAddress | null;
  /** What the user fixed, as asked: inspect shows it, and a restart asks for it again. */
  readonly requested: {
    readonly ipv4?: string;
    readonly ipv6?: string;
    readonly mac?: string;
    readonly interfaceName?: string;
  };
  readonly aliases: readonly string[];
  /** `name:alias`: other names for others, known to this sandbox alone. Absent: none. */
  readonly links?: readonly string[];
  /** Docker's gw-priority: the highest one is the sandbox's default gateway. */
  readonly gatewayPriority: number;
  readonly options: Readonly<Record<string, string>>;
  /** Nobody asked for it: the engine made it, as the way out of a sandbox whose networks have none, and takes it away with them. */
  readonly automatic?: true;
}

/** What a user asks for when attaching. */
export interface EndpointSpec {
  readonly ipv4?: string;
  readonly ipv6?: string;
  readonly mac?: string;
  readonly aliases?: readonly string[];
  readonly links?: readonly string[];
  readonly gatewayPriority?: number;
  readonly interfaceName?: string;
  readonly options?: Readonly<Record<string, string>>;
}

/** What replaces the host's words in resolv.conf; an empty list leaves the host's. */
export interface SandboxDns {
  readonly servers: readonly string[];
  /** `.` alone: no search list at all. */
  readonly search: readonly string[];
  readonly options: readonly string[];
}

/** A line of /etc/hosts. */
export interface ExtraHost {
  readonly name: string;
  readonly address: string;
}

/** A process in a sandbox, told apart from a later one with the same pid by its start time. */
export interface ProcessRef {
  readonly pid: number;
  /** Field 22 of /proc/PID/stat, clock ticks since boot. */
  readonly startTime: string;
  readonly command: readonly string[];
}

/**
 * Where the stack comes from: made by us, adopted from a path or pid and pinned, or the host's own.
 * `path` is the pin under the exec root.
 */
export type SandboxNetns =
  | { readonly type: 'own'; readonly path: string }
  | { readonly type: 'adopted'; readonly path: string; readonly source: string }
  | { readonly type: 'host' };

export interface Sandbox {
  readonly id: Id;
  readonly name: string;
  readonly created: string;
  readonly hostname: string;
  readonly netns: SandboxNetns;
  readonly labels: Readonly<Record<string, string>>;
  /** The main process of `moor run`; null before it is started, and for a sandbox that only holds a stack. */
  readonly process: ProcessRef | null;
  /** Remove the sandbox when its main process has ended. */
  readonly autoRemove: boolean;
  /** Who makes it for a main process that is not there yet, and answers for it until then: with `autoRemove` it goes when this one ends. */
  readonly creator?: ProcessRef;
  readonly domainname?: string;
  readonly dns?: SandboxDns;
  readonly extraHosts?: readonly ExtraHost[];
  /** It belongs to a container of the same id and name, whose service makes and removes it: nobody else does. */
  readonly managed?: boolean;
  /** Ports that were asked for: what `ports` is made from when the way out changes. */
  readonly publish?: readonly PortSpec[];
  /** Published ports: they lead to the endpoint that is the way out, whichever it is. */
  readonly ports?: readonly PortBinding[];
  readonly endpoints: readonly Endpoint[];
}

export interface SandboxSpec {
  /** Made up when absent. */
  readonly id?: Id;
  /** Made up when absent. */
  readonly name?: string;
  readonly hostname?: string;
  readonly labels?: Readonly<Record<string, string>>;
  /** Adopt this namespace file (absolute path) or this process's namespace, instead of making one. */
  readonly adopt?: { readonly path: string } | { readonly pid: number };
  /** Networks to attach to, in order; name or id. Absent: the default network. `host` and `none` stand alone. */
  readonly networks?: readonly { readonly network: string; readonly endpoint?: EndpointSpec }[];
  readonly autoRemove?: boolean;
  readonly creator?: ProcessRef;
  readonly domainname?: string;
  readonly dns?: SandboxDns;
  readonly extraHosts?: readonly ExtraHost[];
  readonly managed?: boolean;
  readonly ports?: readonly PortSpec[];
}
