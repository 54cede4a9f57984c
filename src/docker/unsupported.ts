/**
 * The rest of Docker's API. These paths exist, so that a client is told what it asked for is not built, and not that there is no
 * such path. The word `not supported` matters: `docker inspect NAME` tries one kind of object after the other, and goes on after
 * an error that says so.
 */
import { unsupported } from '../base/errors.ts';

interface Area {
  /** Subject of the sentence. */
  readonly what: string;
  /** `GET /path`; `*` at the end takes any rest (names of images and plugins have slashes). */
  readonly paths: readonly string[];
}

export const UNSUPPORTED: readonly Area[] = [
  {
    what: 'running containers from images',
    paths: [
      'POST /containers/create',
      'POST /containers/prune',
      'GET /containers/:id/top',
      'GET /containers/:id/logs',
      'GET /containers/:id/changes',
      'GET /containers/:id/export',
      'GET /containers/:id/stats',
      'GET /containers/:id/attach/ws',
      'GET /containers/:id/archive',
      'HEAD /containers/:id/archive',
      'PUT /containers/:id/archive',
      'POST /containers/:id/resize',
      'POST /containers/:id/start',
      'POST /containers/:id/stop',
      'POST /containers/:id/restart',
      'POST /containers/:id/kill',
      'POST /containers/:id/update',
      'POST /containers/:id/rename',
      'POST /containers/:id/pause',
      'POST /containers/:id/unpause',
      'POST /containers/:id/attach',
      'POST /containers/:id/wait',
      'POST /containers/:id/exec',
      'POST /exec/:id/start',
      'POST /exec/:id/resize',
      'GET /exec/:id/json',
      'POST /commit',
    ],
  },
  {
    what: 'images',
    paths: [
      'GET /images/json',
      'GET /images/search',
      'GET /images/get',
      'GET /images/*',
      'POST /images/create',
      'POST /images/load',
      'POST /images/prune',
      'POST /images/*',
      'DELETE /images/*',
      'GET /distribution/*',
      'POST /auth',
      'POST /build',
      'POST /build/prune',
      'POST /build/cancel',
      'POST /session',
      'POST /grpc',
    ],
  },
  {
    what: 'volumes',
    paths: [
      'GET /volumes',
      'POST /volumes/create',
      'GET /volumes/:name',
      'PUT /volumes/:name',
      'DELETE /volumes/:name',
      'POST /volumes/prune',
    ],
  },
  { what: 'disk usage', paths: ['GET /system/df'] },
  { what: 'plugins', paths: ['GET /plugins', 'GET /plugins/*', 'POST /plugins/*', 'DELETE /plugins/*'] },
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
  unsupported(`${area.what} ${area.what.endsWith('s') ? 'are' : 'is'} not supported by Moorline yet`);
