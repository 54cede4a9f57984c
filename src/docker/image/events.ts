/** Events about images. They are told here, as nothing below knows what was asked for. */
import type { DockerDeps } from '../route.ts';

export interface ImageEvent {
  readonly action: 'pull' | 'import' | 'load' | 'save' | 'tag' | 'untag' | 'delete';
  /** Its id, or the reference that was asked for. */
  readonly image: string;
  readonly attributes?: Readonly<Record<string, string>>;
}

export function publishImage({ engine, clock }: DockerDeps, { action, image, attributes = {} }: ImageEvent): void {
  engine.publish({ type: 'image', action, actorId: image, attributes: { name: image, ...attributes }, time: clock.now() });
}
