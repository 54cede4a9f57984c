/** Options that making a sandbox takes, however it is made. */
import { parsePortSpec } from '../../../model/ports-parse.ts';
import { list, strings, text } from '../../command.ts';
import { parseAttachments } from '../../options/attachment.ts';
import { parseLabels } from '../../options/pairs.ts';
import type { Values } from '../../command.ts';
import type { SandboxSpec } from '../../../model/sandbox.ts';

export const SANDBOX_OPTIONS = {
  hostname: text('NAME', 'Host name inside the sandbox', { short: 'h' }),
  ip: text('IP', 'IPv4 address on the first network, as in 172.30.100.104'),
  ip6: text('IP', 'IPv6 address on the first network, as in 2001:db8::33'),
  label: list('KEY=VALUE', 'Set metadata on the sandbox'),
  macAddress: text('MAC', 'MAC address on the first network', { also: 'mac' }),
  name: text('NAME', 'Assign a name to the sandbox'),
  network: list('NETWORK', 'Connect to a network; repeatable, also name=NET,ip=…,mac=…,alias=…; or none, or host', {
    completion: 'network',
  }),
  publish: list('PORT', 'Publish a port to the host: [host-ip:][host-port:]port[/udp]; ranges as 8000-8010', { short: 'p' }),
  networkAlias: strings('NAME', 'Add network-scoped alias on the first network'),
} as const;

/** What is sent: ports as they were written. */
export type SandboxBody = Omit<SandboxSpec, 'ports'> & { readonly ports?: readonly string[] };

/** @throws invalid */
export function sandboxSpec(options: Values<typeof SANDBOX_OPTIONS>): SandboxBody {
  const { name, hostname, label, network, ip, ip6, macAddress, networkAlias, publish } = options;
  for (const word of publish) parsePortSpec(word);
  const networks = parseAttachments(network, { ip, ip6, macAddress, aliases: networkAlias });
  return {
    ...(name === undefined ? {} : { name }),
    ...(hostname === undefined ? {} : { hostname }),
    ...(label.length === 0 ? {} : { labels: parseLabels(label) }),
    ...(networks === undefined ? {} : { networks }),
    ...(publish.length === 0 ? {} : { ports: publish }),
  };
}
