/** Driver options that Docker understands for every endpoint, whatever its driver. Pure. */
import { invalid } from '../base/errors.ts';
import type { Change, Netns } from '../contracts/change.ts';
import type { Endpoint, EndpointSpec } from '../model/sandbox.ts';

export const OPTION = {
  interfaceName: 'com.docker.network.endpoint.ifname',
  sysctls: 'com.docker.network.endpoint.sysctls',
} as const;

/** A specification in which what was said by option is said by field. */
export function withOptions(spec: EndpointSpec): EndpointSpec {
  const name = spec.options?.[OPTION.interfaceName];
  return name === undefined || spec.interfaceName !== undefined ? spec : { ...spec, interfaceName: name };
}

/** One `net.X.Y.IFNAME.Z=V`. */
export interface EndpointSysctl {
  /** Key below /proc/sys for an interface. */
  readonly key: (interfaceName: string) => string;
  readonly value: string;
}

/** Parts that name no way out of the directory of the interface. */
const PART = /^[a-z0-9_-]+$/;

/** @throws invalid with Docker's texts. */
export function endpointSysctls(options: Readonly<Record<string, string>>): EndpointSysctl[] {
  const text = options[OPTION.sysctls];
  if (text === undefined || text === '') return [];
  return text.split(',').map((entry) => {
    const equals = entry.indexOf('=');
    const [net, family, group, device, name, ...more] = entry.slice(0, Math.max(equals, 0)).split('.');
    if (equals < 0 || name === undefined || more.length > 0)
      throw invalid(`invalid sysctl: ${JSON.stringify(entry.slice(0, 128))}`);
    const known = net === 'net' && (family === 'ipv4' || family === 'ipv6' || family === 'mpls');
    if (!known || device !== 'IFNAME' || !PART.test(group ?? '') || !PART.test(name)) {
      throw invalid(
        `unrecognised network interface sysctl '${entry.slice(0, 128)}'; represent 'net.X.Y.ethN.Z=V' as 'net.X.Y.IFNAME.Z=V', ` +
          "'X' must be 'ipv4', 'ipv6' or 'mpls'",
      );
    }
    return { key: (interfaceName) => ['net', family, group, interfaceName, name].join('/'), value: entry.slice(equals + 1) };
  });
}

/** `old: null`: they go with their interface. */
export const sysctlChanges = (endpoint: Endpoint, netns: Netns): Change[] =>
  endpoint.interfaceName === ''
    ? []
    : endpointSysctls(endpoint.options).map(({ key, value }) => ({
        kind: 'sysctl',
        netns,
        key: key(endpoint.interfaceName),
        value,
        old: null,
      }));
