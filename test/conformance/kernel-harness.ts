/** What the conformance suite of `Kernel` needs to know of the kernel under test, beside the contract. */
import type { IfAddress } from '../../src/base/ip.ts';
import type { Netns } from '../../src/contracts/change.ts';
import type { Kernel } from '../../src/contracts/kernel.ts';
import type { NftTable, NftTableRef } from '../../src/nft/types.ts';

/** A namespace as an independent tool sees it, in words that compare. */
export interface NetnsTruth {
  /** `br0 bridge up mtu 1500 master none alias none` */
  readonly links: readonly string[];
  /** `eth0 10.0.0.5/24`; none that the kernel makes by itself */
  readonly addresses: readonly string[];
  /** `default via 10.0.0.1 dev eth0` in the words of `describe`; IPv4 and IPv6, no connected routes */
  readonly routes: readonly string[];
  /** `10: from 10.0.0.0/8 lookup 100`; none of the standard ones */
  readonly rules: readonly string[];
  /** `10.0.0.5 dev eth0 lladdr 02:... permanent` */
  readonly neighbours: readonly string[];
  /** `02:... dev vx0 dst 192.0.2.1` */
  readonly fdb: readonly string[];
}

export interface TableTruth {
  readonly chains: Readonly<Record<string, readonly string[]>>;
  readonly sets: Readonly<Record<string, Readonly<Record<string, string>>>>;
}

export interface KernelUnderTest extends AsyncDisposable {
  readonly kernel: Kernel;
  /** Folder for pins and files, of this test alone. */
  readonly directory: string;
  readonly truth: {
    /** null when there is no such namespace */
    readonly netns: (netns: Netns) => NetnsTruth | null;
    readonly table: (table: NftTableRef, netns?: Netns) => TableTruth | null;
    readonly sysctl: (netns: Netns, key: string) => string;
    readonly file: (path: string) => { readonly text: string; readonly mode: number | null } | null;
  };
  /** What somebody else does. */
  readonly foreign: {
    /** Makes a namespace that is not ours. @returns a path of it outside `directory` */
    readonly adopt: () => string;
    readonly makeTable: (table: NftTable) => void;
    readonly removeLink: (netns: Netns, name: string) => void;
    readonly removeAddress: (netns: Netns, device: string, address: IfAddress) => void;
    readonly flushRoutes: (netns: Netns, device: string) => void;
    readonly flushRuleset: (netns?: Netns) => void;
    readonly removeNetns: (path: string) => void;
  };
}

export interface KernelHarness {
  readonly name: string;
  readonly open: () => Promise<KernelUnderTest>;
}
