import '../support/isolated.ts';
import { HOST } from '../../src/contracts/change.ts';
import { createFakeKernel } from '../../src/kernel/fake/fake.ts';
import type { FakeNetns } from '../../src/kernel/fake/state.ts';
import { kernelConformance } from './kernel.ts';
import { fdbWords, linkWords, neighbourWords, routeWords, ruleWords } from './kernel-words.ts';

kernelConformance({
  name: 'in memory',
  open: async () => {
    const kernel = createFakeKernel();
    const directory = '/run/moor/netns';
    let adopted = 0;
    const truthOf = (space: FakeNetns) => ({
      links: [...space.links.values()].map(({ state }) => linkWords(state)),
      addresses: space.addresses.filter((entry) => !entry.kernel).map((entry) => `${entry.device} ${entry.address}`),
      routes: space.routes.filter((route) => !route.connected).map(routeWords),
      rules: space.rules.map(ruleWords),
      neighbours: space.neighbours.map(neighbourWords),
      fdb: space.fdb.map(fdbWords),
    });
    return {
      kernel,
      directory,
      truth: {
        netns: (path) => {
          const space = kernel.spaces.byPath.get(path);
          return space === undefined ? null : truthOf(space);
        },
        table: ({ family, name }, netns = HOST) => {
          const tables = netns === HOST ? kernel.tables : kernel.spaces.get(netns).tables;
          const table = tables.get(`${family} ${name}`);
          return table === undefined ? null : structuredClone({ chains: table.chains, sets: table.sets });
        },
        sysctl: (netns, key) => kernel.spaces.get(netns).sysctls.get(key) ?? '0',
        file: (path) => {
          const text = kernel.files.get(path);
          return text === undefined ? null : { text, mode: null };
        },
      },
      foreign: {
        ...kernel.foreign,
        adopt: () => {
          const path = `/proc/${4000 + adopted++}/ns/net`;
          kernel.adopt(path);
          return path;
        },
        makeTable: (table) =>
          void kernel.tables.set(`${table.family} ${table.name}`, {
            family: table.family,
            name: table.name,
            chains: Object.fromEntries(table.chains.map((chain) => [chain.name, chain.rules.map((rule) => rule.comment)])),
            sets: {},
          }),
      },
      [Symbol.asyncDispose]: () => kernel[Symbol.asyncDispose](),
    };
  },
});
