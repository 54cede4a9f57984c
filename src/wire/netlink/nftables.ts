/** nf_tables notifications. <linux/netfilter/nf_tables.h> */
import { attr, attributes, message } from '../attributes.ts';
import { be32, text } from '../codec.ts';
import { nfgenmsg } from './header.ts';

/** NFT_MSG_NEWGEN: the end of a transaction. <linux/netfilter/nf_tables.h> */
export const nftGeneration = message(
  nfgenmsg,
  attributes('linux/netfilter/nf_tables.h', {
    id: attr('NFTA_GEN_ID', 1, be32),
    /** process id of who made it */
    pid: attr('NFTA_GEN_PROC_PID', 2, be32),
    process: attr('NFTA_GEN_PROC_NAME', 3, text),
  }),
);

/** What every other NFT_MSG_* begins with: attribute 1 is the table's name in all of them. */
export const nftObject = message(
  nfgenmsg,
  attributes('linux/netfilter/nf_tables.h', { table: attr('NFTA_TABLE_NAME', 1, text) }),
);
