/** Ids by which one namespace names another. <linux/net_namespace.h> */
import { attr, attributes, message } from '../attributes.ts';
import { s32, u32, u8 } from '../codec.ts';
import { field, struct } from '../struct.ts';

export const rtgenmsg = struct('rtgenmsg', 'linux/rtnetlink.h', { family: field('rtgen_family', u8) });

/** RTM_NEWNSID, RTM_DELNSID, RTM_GETNSID. */
export const nsid = message(
  rtgenmsg,
  attributes('linux/net_namespace.h', {
    nsid: attr('NETNSA_NSID', 1, s32),
    pid: attr('NETNSA_PID', 2, u32),
    fd: attr('NETNSA_FD', 3, u32),
    targetNsid: attr('NETNSA_TARGET_NSID', 4, s32),
    currentNsid: attr('NETNSA_CURRENT_NSID', 5, s32),
  }),
);
