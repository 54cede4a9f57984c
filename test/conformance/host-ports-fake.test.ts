import '../support/isolated.ts';
import { createFakeHostPorts } from '../../src/kernel/fake/host-ports.ts';
import { familyOf, type IpAddress } from '../../src/base/ip.ts';
import { hostPortsConformance } from './host-ports.ts';

hostPortsConformance('in memory', async () => {
  const hostPorts = createFakeHostPorts();
  const any = (address: IpAddress): string => (familyOf(address) === 4 ? '0.0.0.0' : '::');
  return {
    hostPorts,
    async occupy(protocol, address, port) {
      const key = `${protocol} ${address} ${port}`;
      const holder = { name: 'program', pid: 7 };
      hostPorts.programs.set(key, holder);
      return { holder, end: async () => void hostPorts.programs.delete(key) };
    },
    isFree: async (protocol, address, port) =>
      ![address, any(address)].some((one) => hostPorts.held.has(`${protocol} ${one} ${port}`)),
    async [Symbol.asyncDispose]() {},
  };
});
