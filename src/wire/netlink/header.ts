/** The frame of every netlink message. <linux/netlink.h>, <linux/netfilter/nfnetlink.h> */
import { attr, attributes } from '../attributes.ts';
import { be16, raw, s32, text, u16, u32, u8 } from '../codec.ts';
import { field, struct } from '../struct.ts';

export const nlmsghdr = struct('nlmsghdr', 'linux/netlink.h', {
  /** bytes, with this header, without padding */
  length: field('nlmsg_len', u32),
  type: field('nlmsg_type', u16),
  flags: field('nlmsg_flags', u16),
  sequence: field('nlmsg_seq', u32),
  port: field('nlmsg_pid', u32),
});

export const nlattr = struct('nlattr', 'linux/netlink.h', {
  length: field('nla_len', u16),
  type: field('nla_type', u16),
});

/** Payload of NLMSG_ERROR. With NETLINK_CAP_ACK only the header of the request follows the error, then attributes. */
export const nlmsgerr = struct('nlmsgerr', 'linux/netlink.h', {
  /** 0, or an errno negated */
  error: field('error', s32),
  length: field('msg.nlmsg_len', u32),
  type: field('msg.nlmsg_type', u16),
  flags: field('msg.nlmsg_flags', u16),
  sequence: field('msg.nlmsg_seq', u32),
  port: field('msg.nlmsg_pid', u32),
});

/** Extended ACK: why a request was refused. */
export const nlmsgerrAttributes = attributes('linux/netlink.h', {
  message: attr('NLMSGERR_ATTR_MSG', 1, text),
  /** bytes from the start of the request to the attribute at fault */
  offset: attr('NLMSGERR_ATTR_OFFS', 2, u32),
  cookie: attr('NLMSGERR_ATTR_COOKIE', 3, raw),
  policy: attr('NLMSGERR_ATTR_POLICY', 4, raw),
  /** type of an attribute that is required and absent */
  missingType: attr('NLMSGERR_ATTR_MISS_TYPE', 5, u32),
  missingNest: attr('NLMSGERR_ATTR_MISS_NEST', 6, u32),
});

export const nfgenmsg = struct('nfgenmsg', 'linux/netfilter/nfnetlink.h', {
  family: field('nfgen_family', u8),
  version: field('version', u8),
  resource: field('res_id', be16),
});
