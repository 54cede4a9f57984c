/** Reads the whole ruleset of the namespace of the calling thread. */
import { NetlinkSocket } from '../netlink/socket.ts';
import { dumpXt } from '../netlink/nft-rules.ts';
import { parseRuleset, type Ruleset } from '../nft/ruleset.ts';
import { translateXt } from '../nft/xt.ts';
import { list, type NftRunner } from './nft-run.ts';

/** @throws what nft says */
export function readRuleset(nft: NftRunner): Ruleset {
  const text = list(nft, 'list ruleset');
  if (text === null) return { tables: [] };
  // Few hosts are without a rule of iptables, but on those the second dump is for nothing.
  if (!text.includes('{"xt": ')) return parseRuleset(text);
  using socket = NetlinkSocket.open('netfilter');
  return parseRuleset(text, { blobs: dumpXt(socket), translate: translateXt });
}
