import type { Id } from '../base/ids.ts';

/** Which daemon this is: several run side by side, and everything that they make hangs off these three. */
export interface Instance {
  /** `` for the usual one. Part of table names and link aliases: letters, digits, `_`. */
  readonly id: string;
  /** State that must survive a reboot; /var/lib/moor. */
  readonly dataRoot: string;
  /** State that must not: namespace pins, sandbox files; /run/moor. */
  readonly execRoot: string;
}

/** Name of the instance's nftables table (family inet). */
export const tableName = (instance: Instance): string => (instance.id === '' ? 'moor' : `moor_${instance.id}`);

/** Pin of the namespace that a network has on this host, as Docker's `1-<id>`. */
export const segmentPin = (instance: Instance, network: Id): string => `${netnsDirectory(instance)}/1-${network.slice(0, 10)}`;

/** Folder of namespace pins. */
export const netnsDirectory = (instance: Instance): string => `${instance.execRoot}/netns`;
