/** Events in Docker's words, through the engine's bus. */
import type { Container, MountPoint, Volume } from '../../model/container.ts';
import type { Context } from './context.ts';

/** An action, and what its event says beside the usual. */
type Action = string | readonly [string, Readonly<Record<string, string>>];

const parts = (action: Action): readonly [string, Readonly<Record<string, string>>] =>
  typeof action === 'string' ? [action, {}] : action;

/** Attributes as Docker gives them for containers: labels, image and name, and what the action adds. */
export function containerEvent(ctx: Context, container: Container, what: Action): void {
  const [action, more] = parts(what);
  const attributes = { ...container.config.Labels, ...more, image: container.config.Image, name: container.name };
  ctx.engine.publish({ type: 'container', action, actorId: container.id, attributes, time: ctx.clock.now() });
}

export function volumeEvent(ctx: Context, name: string, what: Action): void {
  const [action, more] = parts(what);
  ctx.engine.publish({ type: 'volume', action, actorId: name, attributes: { driver: 'local', ...more }, time: ctx.clock.now() });
}

export const volumeCreated = (ctx: Context, { name }: Volume): void => volumeEvent(ctx, name, 'create');

/** For each volume of a container that starts or has ended. */
export function mountEvents(ctx: Context, { id, mounts }: Container, action: 'mount' | 'unmount'): void {
  for (const { type, name, destination, readOnly, propagation } of mounts satisfies readonly MountPoint[]) {
    if (type !== 'volume' || name === undefined) continue;
    const detail = action === 'mount' ? { destination, propagation, 'read/write': String(!readOnly) } : {};
    volumeEvent(ctx, name, [action, { container: id, ...detail }]);
  }
}
