/** A container's configuration over its image's: Docker's rules, so that inspect shows what it shows there. */
import type { ContainerConfig, HealthConfig } from '../../model/container.ts';

export function mergeConfig(own: ContainerConfig, image: Partial<ContainerConfig>): ContainerConfig {
  const health = mergeHealth(own.Healthcheck, image.Healthcheck);
  const exposed = { ...image.ExposedPorts, ...own.ExposedPorts };
  const volumes = { ...image.Volumes, ...own.Volumes };
  const stopSignal = own.StopSignal || image.StopSignal;
  // An entry point of its own drops the image's command, which was written for another.
  const inherits = (own.Entrypoint ?? []).length === 0;
  return {
    ...own,
    User: own.User || (image.User ?? ''),
    WorkingDir: own.WorkingDir || (image.WorkingDir ?? ''),
    Env: mergeEnvironment(own.Env, image.Env ?? []),
    Cmd: inherits && (own.Cmd ?? []).length === 0 ? (image.Cmd ?? own.Cmd) : own.Cmd,
    Entrypoint: inherits ? (own.Entrypoint ?? image.Entrypoint ?? null) : own.Entrypoint,
    Labels: { ...image.Labels, ...own.Labels },
    Volumes: Object.keys(volumes).length === 0 ? null : volumes,
    ...(Object.keys(exposed).length === 0 ? {} : { ExposedPorts: exposed }),
    ...(stopSignal === undefined || stopSignal === '' ? {} : { StopSignal: stopSignal }),
    ...(health === undefined ? {} : { Healthcheck: health }),
  };
}

function mergeEnvironment(own: readonly string[], image: readonly string[]): readonly string[] {
  const key = (entry: string): string => entry.split('=', 1)[0] ?? '';
  const mine = new Set(own.map(key));
  return [...own, ...image.filter((entry) => !mine.has(key(entry)))];
}

/** Field by field; a zero inherits. */
function mergeHealth(own: HealthConfig | undefined, image: HealthConfig | undefined): HealthConfig | undefined {
  if (own === undefined || image === undefined) return own ?? image;
  return {
    Test: own.Test === undefined || own.Test.length === 0 ? (image.Test ?? []) : own.Test,
    Interval: own.Interval || (image.Interval ?? 0),
    Timeout: own.Timeout || (image.Timeout ?? 0),
    StartPeriod: own.StartPeriod || (image.StartPeriod ?? 0),
    StartInterval: own.StartInterval || (image.StartInterval ?? 0),
    Retries: own.Retries || (image.Retries ?? 0),
  };
}
