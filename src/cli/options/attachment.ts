/**
 * `--network` of `moor run`: a name, or `name=NET,ip=…,ip6=…,mac=…,alias=…` as in Docker's long form (one CSV record). The plain
 * options `--ip`, `--ip6`, `--mac-address`, `--network-alias` belong to the first network.
 */
import { invalid } from '../../base/errors.ts';
import { parseMac } from '../../base/mac.ts';
import type { EndpointSpec, SandboxSpec } from '../../model/sandbox.ts';
import { splitPair } from './pairs.ts';

export interface PlainEndpointOptions {
  readonly ip?: string | undefined;
  readonly ip6?: string | undefined;
  readonly macAddress?: string | undefined;
  readonly aliases: readonly string[];
}

type Attachment = NonNullable<SandboxSpec['networks']>[number];

type Draft = { -readonly [K in keyof EndpointSpec]: EndpointSpec[K] } & { aliases: string[]; options: Record<string, string> };

const refuse = (word: string, why: string): Error => invalid(`invalid argument "${word}" for "--network" flag: ${why}`);

/** @returns undefined when nothing was said: the daemon takes the default network. @throws invalid */
export function parseAttachments(words: readonly string[], plain: PlainEndpointOptions): readonly Attachment[] | undefined {
  const attachments = words.map(parseAttachment);
  const extra = plainEndpoint(plain);
  if (Object.keys(extra).length > 0) attachments[0] = mergePlain(attachments[0] ?? { network: 'bridge' }, extra);
  const alone = attachments.find(({ network }) => network === 'host' || network === 'none');
  if (alone && attachments.length > 1) {
    throw invalid('conflicting options: cannot attach both user-defined and non-user-defined network-modes');
  }
  const seen = new Set<string>();
  for (const { network } of attachments) {
    if (seen.has(network)) throw invalid(`network "${network}" is specified multiple times`);
    seen.add(network);
  }
  return attachments.length === 0 ? undefined : attachments;
}

function parseAttachment(word: string): Attachment {
  if (!word.includes('=')) {
    if (word.trim() === '') throw refuse(word, 'network name/id is not specified');
    return { network: word };
  }
  const draft: Draft = { aliases: [], options: {} };
  let network = '';
  for (const field of splitCsv(word)) {
    const [key, value] = splitPair(field);
    if (!field.includes('=')) throw refuse(word, `invalid field ${field}`);
    switch (key.trim().toLowerCase()) {
      case 'name':
        network = value;
        break;
      case 'alias':
        draft.aliases.push(value);
        break;
      case 'ip':
        draft.ipv4 = value;
        break;
      case 'ip6':
        draft.ipv6 = value;
        break;
      case 'mac':
      case 'mac-address':
        draft.mac = checkedMac(value);
        break;
      case 'interface':
        draft.interfaceName = value;
        break;
      case 'gw-priority':
        if (!/^[-+]?\d+$/.test(value)) throw refuse(word, `invalid gw-priority (${value}): invalid syntax`);
        draft.gatewayPriority = Number(value);
        break;
      case 'driver-opt': {
        const [name, setting] = splitPair(value);
        if (!value.includes('=')) throw refuse(word, 'invalid key/value pair format in driver options');
        draft.options[name] = setting;
        break;
      }
      default:
        throw refuse(word, `invalid field key ${key}`);
    }
  }
  if (network === '') throw refuse(word, 'network name/id is not specified');
  const { aliases, options, ...fields } = draft;
  const endpoint: EndpointSpec = {
    ...fields,
    ...(aliases.length === 0 ? {} : { aliases }),
    ...(Object.keys(options).length === 0 ? {} : { options }),
  };
  return Object.keys(endpoint).length === 0 ? { network } : { network, endpoint };
}

function plainEndpoint({ ip, ip6, macAddress, aliases }: PlainEndpointOptions): EndpointSpec {
  return {
    ...(ip === undefined ? {} : { ipv4: ip }),
    ...(ip6 === undefined ? {} : { ipv6: ip6 }),
    ...(macAddress === undefined ? {} : { mac: checkedMac(macAddress) }),
    ...(aliases.length === 0 ? {} : { aliases }),
  };
}

/** What is said in both places contradicts itself, even with equal values (as in Docker). */
const CONFLICTS = [
  ['ipv4', 'cannot specify both --ip and per-network IPv4 address'],
  ['ipv6', 'cannot specify both --ip6 and per-network IPv6 address'],
  ['mac', 'cannot specify both --mac-address and per-network MAC address'],
  ['aliases', 'cannot specify both --network-alias and per-network alias'],
] as const satisfies readonly (readonly [keyof EndpointSpec, string])[];

function mergePlain(attachment: Attachment, extra: EndpointSpec): Attachment {
  for (const [field, why] of CONFLICTS) {
    if (extra[field] !== undefined && attachment.endpoint?.[field] !== undefined) throw invalid(`conflicting options: ${why}`);
  }
  return { network: attachment.network, endpoint: { ...attachment.endpoint, ...extra } };
}

function checkedMac(text: string): string {
  try {
    return parseMac(text);
  } catch {
    throw invalid(`${text} is not a valid mac address`);
  }
}

/** One CSV record (RFC 4180): a field in double quotes may hold commas, `""` is a quote. */
export function splitCsv(text: string): readonly string[] {
  const fields: string[] = [];
  let field = '';
  let quoted = false;
  for (let i = 0; i < text.length; i++) {
    const char = text[i] ?? '';
    if (quoted) {
      if (char !== '"') field += char;
      else if (text[i + 1] === '"') field += text[++i];
      else quoted = false;
    } else if (char === '"' && field === '') quoted = true;
    else if (char === ',') {
      fields.push(field);
      field = '';
    } else field += char;
  }
  if (quoted) throw invalid(`invalid value ${text}: a quote is not closed`);
  return [...fields, field];
}
