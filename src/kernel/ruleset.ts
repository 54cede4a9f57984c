/** Reads the whole ruleset of the namespace of the calling thread. */
import { existsSync, readFileSync } from 'node:fs';
import { NetlinkSocket } from '../netlink/socket.ts';
import { dumpTables, dumpXt, type TableInfo } from '../netlink/nft-rules.ts';
import { listed } from '../nft/json.ts';
import { parseRuleset, type Ruleset } from '../nft/ruleset.ts';
import type { NftTableRef } from '../nft/types.ts';
import { translateXt } from '../nft/xt.ts';
import { list, type NftRunner } from './nft-run.ts';

/**
 * The tables of this namespace that are active.
 * @param nft to be asked by the program: a listing that is too much for memory ends with its process
 * @param without tables to leave out: ours may have an element for each of very many ports
 * @throws what nft says
 */
export function readRuleset(nft: NftRunner, without: readonly NftTableRef[] = []): Ruleset {
  using socket = NetlinkSocket.open('netfilter');
  const infos = dumpTables(socket).filter(
    ({ dormant, family, name }) => !dormant && !without.some((one) => one.family === family && one.name === name),
  );
  const whole = without.length === 0 && !infos.some(({ flagged }) => flagged);
  const listings = whole ? listing(nft, ['list ruleset']) : infos.flatMap((info) => tableListing(nft, info));
  // Few hosts are without a rule of iptables, but on those the dump is for nothing.
  const xt = listings.some((text) => text.includes('{"xt": ')) ? { blobs: dumpXt(socket), translate: translateXt } : undefined;
  return parseRuleset(infos, { listings, ...(xt === undefined ? {} : { xt }) });
}

/**
 * A table with one flag, such as that it belongs to a program, is listed chain by chain: nft before 1.1.1 uses memory that it has freed when it
 * writes such a flag as JSON (table_flags_json()), and ends, or prints nothing.
 */
function tableListing(nft: NftRunner, { family, name, flagged }: TableInfo): readonly string[] {
  if (!flagged) return listing(nft, [`list table ${family} ${name}`]);
  const inside = { family, name };
  const chains = namesIn(listing(nft, ['list chains']), inside).map(({ name: chain }) => `list chain ${family} ${name} ${chain}`);
  const sets = namesIn(listing(nft, ['list sets', 'list maps']), inside).map(
    ({ kind, name: set }) => `list ${kind} ${family} ${name} ${set}`,
  );
  return listing(nft, [...chains, ...sets]);
}

/** One process each: nft 1.0.6 answers several of one file with what the last of them asks for. */
const listing = (nft: NftRunner, commands: readonly string[]): readonly string[] =>
  commands.map((command) => list(nft, command)).filter((text) => text !== null);

function namesIn(
  texts: readonly string[],
  { family, name }: Pick<TableInfo, 'family' | 'name'>,
): readonly { readonly kind: string; readonly name: string }[] {
  return texts.flatMap((text) =>
    [...listed(text)].flatMap(([kind, object]) =>
      object['family'] === family && object['table'] === name && typeof object['name'] === 'string'
        ? [{ kind, name: object['name'] }]
        : [],
    ),
  );
}

/** One rule as text, for people; null when it has gone. */
export function ruleText(
  nft: NftRunner,
  {
    family,
    table,
    chain,
    handle,
  }: { readonly family: string; readonly table: string; readonly chain: string; readonly handle: number },
): string | null {
  const text = list(nft, `list chain ${family} ${table} ${chain}`, false);
  const rule = text === null ? null : new RegExp(`^\\t\\t(.*) # handle ${handle}$`, 'm').exec(text)?.[1];
  return (
    rule
      ?.replaceAll(/ +counter packets \d+ bytes \d+/g, '')
      .replaceAll(/ {2,}/g, ' ')
      .trim() ?? null
  );
}

const LEGACY = ['/proc/net/ip_tables_names', '/proc/net/ip6_tables_names'] as const;

/** Tables of iptables-legacy, whose rules nf_tables knows nothing of: `ip filter`. They are there once somebody listed them. */
export function legacyTables(): readonly string[] {
  return LEGACY.flatMap((path, at) =>
    existsSync(path)
      ? readFileSync(path, 'utf8')
          .split('\n')
          .filter(Boolean)
          .map((name) => `${at === 0 ? 'ip' : 'ip6'} ${name}`)
      : [],
  );
}
