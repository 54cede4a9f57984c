/**
 * A table that outlives `nft flush ruleset`, and does nothing. The kernel translates the packets of established connections as long as a
 * chain of type nat is there, and tracks connections as long as a rule asks for their state. When the last one goes both end at once, and
 * the host itself answers what comes for a published port: with a reset. So we hold one of each. The table is owned by our socket
 * (NFT_TABLE_F_OWNER, since Linux 5.12), which keeps others' flushes away, and goes with it.
 */
import { openNft } from '../sys/libnftables.ts';

export const keepTableName = (table: string): string => `${table}_keep`;

/** Rules of a nat chain see the first packet of a connection alone, and this one only when no other has translated it. */
const chain = (hook: string, priority: number): string =>
  `  chain ${hook} {\n    type nat hook ${hook} priority ${priority}; policy accept;\n    ct state invalid accept\n  }\n`;

/** @returns null where that cannot be: connections through published ports then end with a flush, and new ones come when it is repaired */
export function openKeepTable(name: string): Disposable | null {
  const { nft } = openNft();
  if (nft === null) return null;
  const comment = 'connections through published ports go on while rules are flushed and made again';
  // After our own chains, and after those of others.
  const chains = `${chain('prerouting', -90)}${chain('postrouting', 110)}`;
  if (nft.run(`table inet ${name} {\n  comment "${comment}"\n  flags owner\n${chains}}`).rc === 0) return nft;
  nft[Symbol.dispose]();
  return null;
}
