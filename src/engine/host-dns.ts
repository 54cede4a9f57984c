/** The host's resolv.conf became another one: who depends on it follows. */
import { describe } from '../contracts/describe.ts';
import type { HostFacts } from '../contracts/kernel.ts';
import type { Sandbox } from '../model/sandbox.ts';
import type { Context } from './context.ts';
import { failures } from './executor.ts';
import { fileChanges } from './files.ts';
import { clientOf, namesContext, serveAgain } from './names.ts';
import { type DnsRow, putHost } from './records.ts';

/** While the daemon runs. The world lock is held exclusively. What a change fails at is reported. @throws what the store says */
export async function followHostDns(ctx: Context, before: HostFacts, after: HostFacts): Promise<void> {
  const [old, now] = [namesContext(ctx, before), namesContext(ctx, after)];
  const asks = (sandbox: Sandbox): boolean => JSON.stringify(clientOf(old, sandbox)) !== JSON.stringify(clientOf(now, sandbox));
  await serveAgain(ctx, [...ctx.registry.sandboxes.values()].filter(asks), after);
  await followFiles(ctx, dnsRow(ctx, before), after);
}

/** While no daemon ran; its own flags may be others, too. @param recorded null: nobody knows @throws what the store says */
export async function followSince(ctx: Context, recorded: DnsRow | null, facts: HostFacts): Promise<void> {
  if (JSON.stringify(recorded) !== JSON.stringify(dnsRow(ctx, facts))) await followFiles(ctx, recorded, facts);
}

const dnsRow = ({ config: { dns } }: Context, { resolvConf, resolvedConf }: HostFacts): DnsRow => ({
  resolvConf,
  ...(resolvedConf === undefined ? {} : { resolvedConf }),
  ...(dns === undefined ? {} : { daemon: dns }),
});

/** Writes the files anew that nobody edited, and then down by what they were written. */
async function followFiles(ctx: Context, before: DnsRow | null, facts: HostFacts): Promise<void> {
  const after = dnsRow(ctx, facts);
  const { networks, sandboxes } = ctx.registry;
  const world = (row: DnsRow): Parameters<typeof fileChanges>[1]['world'] => ({ facts: row, networks, daemonDns: row.daemon });
  const changes =
    before === null
      ? []
      : [...sandboxes.values()].flatMap((sandbox) =>
          fileChanges(ctx.config.instance, { sandbox, world: world(before) }, { sandbox, world: world(after) }),
        );
  if (changes.length > 0) {
    ctx.logger.info({ sandboxes: changes.length }, "the host's resolv.conf changed: sandboxes follow");
    for (const { change, error } of failures(changes, await ctx.kernel.apply(changes, { keepGoing: true })))
      ctx.logger.error({ change, error }, `could not follow the host's resolv.conf: ${describe(change)}`);
  }
  await ctx.executor.commit([putHost({ sysctls: facts.sysctls, dns: after })]);
}
