/**
 * The rest of Docker's API. These paths exist, so that a client is told what it asked for is not built, and not that there is no
 * such path. The word `not supported` matters: `docker inspect NAME` tries one kind of object after the other, and goes on after
 * an error that says so.
 */
import { unsupported } from '../base/errors.ts';

interface Area {
  /** Subject of the sentence. */
  readonly what: string;
  /** `GET /path`, in the notation of `DockerRoute`. */
  readonly paths: readonly string[];
}

export const UNSUPPORTED: readonly Area[] = [
  { what: 'attaching by WebSocket', paths: ['GET /containers/:id/attach/ws'] },
  { what: 'making an image from a container', paths: ['POST /commit'] },
  {
    what: 'checkpoints',
    paths: [
      'GET /containers/:id/checkpoints',
      'POST /containers/:id/checkpoints',
      'DELETE /containers/:id/checkpoints/:checkpoint',
    ],
  },
  { what: 'building images', paths: ['POST /build', 'POST /build/cancel', 'POST /session', 'POST /grpc'] },
  { what: 'pushing images', paths: ['POST /images/:name+/push'] },
  { what: 'searching images', paths: ['GET /images/search'] },
  { what: 'looking at images in a registry', paths: ['GET /distribution/:name+/json'] },
  { what: 'checking the credentials of a registry', paths: ['POST /auth'] },
  { what: 'changing cluster volumes', paths: ['PUT /volumes/:name'] },
  { what: 'plugins', paths: ['GET /plugins', 'GET /plugins/:name+', 'POST /plugins/:name+', 'DELETE /plugins/:name+'] },
  {
    what: 'swarm mode',
    paths: [
      'GET /swarm',
      'POST /swarm/init',
      'POST /swarm/join',
      'POST /swarm/leave',
      'POST /swarm/update',
      'GET /swarm/unlockkey',
      'POST /swarm/unlock',
      'GET /nodes',
      'GET /nodes/:id',
      'DELETE /nodes/:id',
      'POST /nodes/:id/update',
      'GET /services',
      'POST /services/create',
      'GET /services/:id',
      'DELETE /services/:id',
      'POST /services/:id/update',
      'GET /services/:id/logs',
      'GET /tasks',
      'GET /tasks/:id',
      'GET /tasks/:id/logs',
      'GET /secrets',
      'POST /secrets/create',
      'GET /secrets/:id',
      'DELETE /secrets/:id',
      'POST /secrets/:id/update',
      'GET /configs',
      'POST /configs/create',
      'GET /configs/:id',
      'DELETE /configs/:id',
      'POST /configs/:id/update',
    ],
  },
];

export const notSupported = (area: Area): Error =>
  unsupported(`${area.what} ${area.what.includes(' ') || !area.what.endsWith('s') ? 'is' : 'are'} not supported by Moorline yet`);
