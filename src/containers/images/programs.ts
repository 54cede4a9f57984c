/** What the image store needs from outside, and its bounds. */

/** Programs of the distribution, by name or path. */
export interface Programs {
  /** GNU tar */
  readonly tar: string;
  readonly skopeo: string;
  /** coreutils; `sync -f` is syncfs(2) */
  readonly sync: string;
}

export const PROGRAMS: Programs = { tar: 'tar', skopeo: 'skopeo', sync: 'sync' };

/** Bounds on what is taken in. Our own: no image that people use comes near them, and a bomb must end somewhere before the disk does. */
export interface Limits {
  /** Bytes of one layer, or of one archive, once decompressed. */
  readonly bytes: number;
  /** Entries of one layer. */
  readonly entries: number;
  /** Bytes of a manifest or configuration. Docker's registry takes 4 MiB. */
  readonly document: number;
}

export const LIMITS: Limits = { bytes: 64 * 2 ** 30, entries: 2_000_000, document: 4 << 20 };
