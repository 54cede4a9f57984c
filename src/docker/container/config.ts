/** Docker's `Config` of a create request. */
import { invalid } from '../../base/errors.ts';
import type { ContainerConfig, HealthConfig } from '../../model/container.ts';
import type { JsonObject } from '../body.ts';
import { compact, given } from '../network-request.ts';

/** What a request does not say is for the image to say. */
export function containerConfig(body: JsonObject, version: { readonly minor: number }): ContainerConfig {
  const flag = (name: string): boolean => body.boolean(name) ?? false;
  return compact({
    Hostname: body.string('Hostname') ?? '',
    Domainname: body.string('Domainname') ?? '',
    User: body.string('User') ?? '',
    AttachStdin: flag('AttachStdin'),
    AttachStdout: flag('AttachStdout'),
    AttachStderr: flag('AttachStderr'),
    Tty: flag('Tty'),
    OpenStdin: flag('OpenStdin'),
    StdinOnce: flag('StdinOnce'),
    Env: body.strings('Env') ?? [],
    Cmd: body.words('Cmd') ?? null,
    Entrypoint: body.words('Entrypoint') ?? null,
    Image: body.string('Image') ?? '',
    WorkingDir: body.string('WorkingDir') ?? '',
    Labels: body.stringMap('Labels') ?? {},
    Volumes: emptyObjects(body, 'Volumes') ?? null,
    ExposedPorts: exposed(emptyObjects(body, 'ExposedPorts')),
    StopSignal: given(body.string('StopSignal')),
    StopTimeout: body.integer('StopTimeout'),
    Healthcheck: health(body.object('Healthcheck'), version),
  });
}

/** A Go set: an object with empty objects for values. */
function emptyObjects(body: JsonObject, name: string): Readonly<Record<string, object>> | undefined {
  const map = body.objectMap(name);
  return map === undefined ? undefined : Object.fromEntries(Object.keys(map).map((key) => [key, {}]));
}

function exposed(ports: Readonly<Record<string, object>> | undefined): Readonly<Record<string, object>> | undefined {
  if (ports === undefined || Object.keys(ports).length === 0) return undefined;
  return Object.fromEntries(
    Object.keys(ports).map((port) => {
      const match = /^(\d{1,5})(?:\/(tcp|udp|sctp))?$/.exec(port);
      if (!match || Number(match[1]) > 65_535 || Number(match[1]) < 1) throw invalid(`Invalid port: ${JSON.stringify(port)}`);
      return [`${match[1]}/${match[2] ?? 'tcp'}`, {}];
    }),
  );
}

function health(body: JsonObject | undefined, version: { readonly minor: number }): HealthConfig | undefined {
  if (body === undefined) return undefined;
  return compact({
    Test: body.strings('Test'),
    Interval: body.integer('Interval'),
    Timeout: body.integer('Timeout'),
    StartPeriod: body.integer('StartPeriod'),
    // Came with API 1.44; before that Docker ignores the field.
    StartInterval: version.minor >= 44 ? body.integer('StartInterval') : undefined,
    Retries: body.integer('Retries'),
  });
}
