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

/** Folder of namespace pins. */
export const netnsDirectory = (instance: Instance): string => `${instance.execRoot}/netns`;
