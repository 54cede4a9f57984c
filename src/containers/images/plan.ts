/** What an archive or a registry says an image consists of. */
import type { StoredImage } from './config.ts';
import type { Reference } from './reference.ts';

export interface LayerFile {
  readonly path: string;
  /** bytes, as received */
  readonly size: number;
  /** When the file was named by its digest. */
  readonly blobId?: string;
}

export interface ImagePlan {
  readonly stored: StoredImage;
  readonly references: readonly Reference[];
  /** Base first, one for each of `stored.diffIds`; null: nothing was fetched, the layer is here already. */
  readonly layers: readonly (LayerFile | null)[];
}
