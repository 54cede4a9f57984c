/** The host's resolv.conf became another one: who depends on it follows. */
import { describe } from '../contracts/describe.ts';
import type { HostFacts } from '../contracts/kernel.ts';
import type { Sandbox } from '../model/sandbox.ts';
import type { Context } from './context.ts';
import { failures } from './executor.ts';
import { fileChanges, fileWorld } from './files.ts';
import { clientOf, namesContext, serveAgain } from './names.ts';

/** The world lock is held exclusively. Never throws: what fails is reported. */
export async function followHostDns(ctx: Context, before: HostFacts, after: HostFacts): Promise<void> {
  const sandboxes = [...ctx.registry.sandboxes.values()];
  const [old, now] = [namesContext(ctx, before), namesContext(ctx, after)];
  const asks = (sandbox: Sandbox): boolean => JSON.stringify(clientOf(old, sandbox)) !== JSON.stringify(clientOf(now, sandbox));
  await serveAgain(ctx, sandboxes.filter(asks), after);
  const [was, is] = [fileWorld(ctx, before), fileWorld(ctx, after)];
  const changes = sandboxes.flatMap((sandbox) =>
    fileChanges(ctx.config.instance, { sandbox, world: was }, { sandbox, world: is }),
  );
  if (changes.length === 0) return;
  ctx.logger.info({ sandboxes: changes.length }, "the host's resolv.conf changed: sandboxes follow");
  for (const { change, error } of failures(changes, await ctx.kernel.apply(changes, { keepGoing: true })))
    ctx.logger.error({ change, error }, `could not follow the host's resolv.conf: ${describe(change)}`);
}
