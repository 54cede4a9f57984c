/** The daemon's configuration in the engine's words. */
import { parseIp } from '../../base/ip.ts';
import { OPTION } from '../../drivers/bridge/options.ts';
import type { EngineConfig } from '../../engine/context.ts';
import type { Instance } from '../../model/instance.ts';
import type { DaemonConfig } from './config.ts';

export const instanceOf = (config: DaemonConfig): Instance => ({
  id: config.instance,
  dataRoot: config.dataRoot,
  execRoot: config.execRoot,
});

export function engineConfig(config: DaemonConfig): EngineConfig {
  const name = config.instance === '' ? 'moor0' : `moor0_${config.instance}`;
  return {
    instance: instanceOf(config),
    defaultBridge: {
      name,
      ...(config.bip === null ? {} : { bip: config.bip }),
      ...(config.fixedCidr === null ? {} : { fixedCidr: config.fixedCidr }),
      ...(config.bip6 === null ? {} : { bipV6: config.bip6 }),
      ...(config.fixedCidrV6 === null ? {} : { fixedCidrV6: config.fixedCidrV6 }),
      ipv6: config.ipv6,
      // In Docker's order, which is alphabetical: `docker network inspect bridge` prints them.
      options: {
        [OPTION.defaultBridge]: 'true',
        [OPTION.icc]: String(config.icc),
        [OPTION.masquerade]: String(config.ipMasquerade),
        [OPTION.hostBinding]: config.ip ?? '0.0.0.0',
        [OPTION.name]: name,
        ...(config.mtu === null ? {} : { [OPTION.mtu]: String(config.mtu) }),
      },
    },
    defaultNetworkOptions: config.networkOptions,
    dns: config.dns,
    ...(config.ip === null ? {} : { hostAddress: parseIp(config.ip) }),
  };
}
