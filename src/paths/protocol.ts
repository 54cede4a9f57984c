/** Messages between the daemon and the thread that looks at paths. */
import type { IpAddress } from '../base/ip.ts';
import type { ErrorData } from '../base/errors.ts';
import type { ChecksumReport, PathTargets } from '../contracts/paths.ts';
import type { PathReport } from '../model/node.ts';

export interface PathsWorkerData {
  /** Made readable when a message waits: the thread sleeps in poll(2), not on its event loop. The main thread's to close. */
  readonly event: number;
  readonly known: Readonly<Record<IpAddress, PathReport>>;
}

export type ToPaths = { readonly type: 'want'; readonly targets: PathTargets } | { readonly type: 'stop' };

export type FromPaths =
  | { readonly type: 'path'; readonly address: IpAddress; readonly report: PathReport }
  | { readonly type: 'checksums'; readonly address: IpAddress; readonly report: ChecksumReport }
  /** What cannot be done here, told once. */
  | { readonly type: 'trouble'; readonly error: ErrorData };
