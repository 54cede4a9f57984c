import { type Answer, pathOf } from '../../api.ts';
import { defineCommand, flag, integer, strings, text } from '../../command.ts';
import { parseDriverOptions } from '../../options/pairs.ts';
import { changeQuery, report, writeJson } from '../../output/report.ts';
import type { Endpoint, EndpointSpec } from '../../../model/sandbox.ts';

export const connect = defineCommand({
  name: 'connect',
  summary: 'Connect a sandbox to a network',
  arguments: [
    { name: 'NETWORK', completion: 'network' },
    { name: 'SANDBOX', completion: 'sandbox' },
  ],
  changes: true,
  options: {
    alias: strings('NAME', 'Add network-scoped alias for the sandbox'),
    driverOpt: strings('KEY=VALUE', 'Driver options for the endpoint'),
    gwPriority: integer('NUMBER', 'Highest gw-priority provides the default gateway; may be negative'),
    ip: text('IP', 'IPv4 address, as in 172.30.100.104'),
    ip6: text('IP', 'IPv6 address, as in 2001:db8::33'),
    macAddress: text('MAC', 'MAC address, as in 92:d0:c6:0a:29:33', { also: 'mac' }),
  },
  examples: [
    { command: 'moor network connect my_net web', what: 'a second interface for web' },
    { command: 'moor network connect --ip 192.168.7.20 --alias db my_net2 web', what: 'at a fixed address' },
  ],
  run: async (context, [network = '', sandbox = ''], options) => {
    const driverOptions = parseDriverOptions(options.driverOpt);
    const endpoint: EndpointSpec = {
      ...(options.ip === undefined ? {} : { ipv4: options.ip }),
      ...(options.ip6 === undefined ? {} : { ipv6: options.ip6 }),
      ...(options.macAddress === undefined ? {} : { mac: options.macAddress }),
      ...(options.gwPriority === undefined ? {} : { gatewayPriority: options.gwPriority }),
      ...(options.alias.length === 0 ? {} : { aliases: options.alias }),
      ...(options.driverOpt.length === 0 ? {} : { options: driverOptions }),
    };
    const answer = await context.api.post<Answer<Endpoint>>(
      pathOf('/moor/networks', network, 'connect'),
      { sandbox, endpoint },
      changeQuery(context),
    );
    if (context.json) writeJson(context, answer);
    else report(context, answer, () => '');
  },
});

export const disconnect = defineCommand({
  name: 'disconnect',
  summary: 'Disconnect a sandbox from a network',
  arguments: [
    { name: 'NETWORK', completion: 'network' },
    { name: 'SANDBOX', completion: 'sandbox' },
  ],
  changes: true,
  options: { force: flag('Force the sandbox to disconnect from a network', { short: 'f' }) },
  examples: [{ command: 'moor network disconnect my_net web', what: 'takes the interface away' }],
  run: async (context, [network = '', sandbox = ''], { force }) => {
    const answer = await context.api.post<Answer<Endpoint>>(
      pathOf('/moor/networks', network, 'disconnect'),
      { sandbox, ...(force ? { force } : {}) },
      changeQuery(context),
    );
    if (context.json) writeJson(context, answer);
    else report(context, answer, () => '');
  },
});
