/** Policy routing rules. <linux/fib_rules.h> */
import { attr, attributes, message } from '../attributes.ts';
import { ip, text, u32, u8 } from '../codec.ts';
import { field, struct } from '../struct.ts';

export const fibRuleHdr = struct('fib_rule_hdr', 'linux/fib_rules.h', {
  family: field('family', u8),
  destinationLength: field('dst_len', u8),
  sourceLength: field('src_len', u8),
  tos: field('tos', u8),
  /** RT_TABLE_UNSPEC when FRA_TABLE says it */
  table: field('table', u8),
  reserved1: field('res1', u8),
  reserved2: field('res2', u8),
  /** FR_ACT_* */
  action: field('action', u8),
  /** FIB_RULE_* */
  flags: field('flags', u32),
});

/** RTM_NEWRULE, RTM_DELRULE, RTM_GETRULE. */
export const rule = message(
  fibRuleHdr,
  attributes('linux/fib_rules.h', {
    destination: attr('FRA_DST', 1, ip),
    source: attr('FRA_SRC', 2, ip),
    iif: attr('FRA_IIFNAME', 3, text),
    goto: attr('FRA_GOTO', 4, u32),
    priority: attr('FRA_PRIORITY', 6, u32),
    fwmark: attr('FRA_FWMARK', 10, u32),
    suppressPrefixLength: attr('FRA_SUPPRESS_PREFIXLEN', 14, u32),
    table: attr('FRA_TABLE', 15, u32),
    fwmask: attr('FRA_FWMASK', 16, u32),
    oif: attr('FRA_OIFNAME', 17, text),
    protocol: attr('FRA_PROTOCOL', 21, u8),
  }),
);
