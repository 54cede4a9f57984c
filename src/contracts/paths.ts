/** What the ways to other hosts take: packets of the underlay's size are sent there from time to time. Implemented by `paths/`. */
import type { IpAddress } from '../base/ip.ts';
import type { PathReport } from '../model/node.ts';

export interface PathTarget {
  /** Of the other host, on the underlay. */
  readonly address: IpAddress;
  /** Of the IP packet that is to come through whole, bytes. */
  readonly size: number;
}

export interface PathTargets {
  readonly paths: readonly PathTarget[];
  /** Addresses that VTEPs of others have: whether UDP gets there when its checksum is left to devices. */
  readonly vteps: readonly IpAddress[];
}

/** `broken`: what is sent with its checksum made comes through, what leaves that to a device does not. `unknown`: nobody has answered. */
export type ChecksumReport = 'ok' | 'broken' | 'unknown';

export interface Paths extends AsyncDisposable {
  /** Replaces what is looked at; what was there stays known. Cheap when it is the same. */
  readonly want: (targets: PathTargets) => void;
  /** Those that were looked at. */
  readonly reports: () => readonly (readonly [address: IpAddress, report: PathReport])[];
  /**
   * Checksums that are left to devices do not arrive, at one VTEP at least. It stays so, as nothing is left to them any more then; until the system is
   * another one.
   */
  readonly broken: () => boolean;
  /** Called when a report has changed. */
  readonly subscribe: (listener: () => void) => () => void;
}
