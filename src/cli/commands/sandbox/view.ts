/** Looking into a sandbox: what the daemon says about entering one, as the process port takes it. */
import { pathOf } from '../../api.ts';
import type { Context } from '../../context.ts';
import type { SandboxView } from '../../ports.ts';

/** `GET /moor/sandboxes/REF/enter` */
interface EnterAnswer {
  readonly id: string;
  readonly name: string;
  readonly hostname: string;
  /** null: the host's own. */
  readonly netns: string | null;
  /** Path on the host by path inside. */
  readonly files: Readonly<Record<string, string>>;
}

/** @returns null when there is nothing to enter: a sandbox on the host's own stack without files of its own */
export async function viewOf({ api }: Pick<Context, 'api'>, reference: string): Promise<SandboxView | null> {
  const { netns, files, hostname } = await api.get<EnterAnswer>(pathOf('/moor/sandboxes', reference, 'enter'));
  const mounts = Object.entries(files).map(([target, source]) => ({ source, target }));
  if (netns === null) return null;
  return { netns, files: mounts, ...(hostname === '' ? {} : { hostname }) };
}
