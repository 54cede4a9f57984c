/** What can be said of a container's configuration by itself. Docker's words. */
import { invalid, unsupported } from '../../base/errors.ts';
import { isIp } from '../../base/ip.ts';
import { shown } from '../../base/shown.ts';
import type { ContainerConfig, HealthConfig, HostConfig, RestartPolicy } from '../../model/container.ts';
import { checkResources } from './validate-resources.ts';
import { parseExtraHost } from './extra-hosts.ts';
import { parseSignal } from './signals.ts';

/** @param config merged with the image's @throws invalid, unsupported */
export function checkConfig(config: ContainerConfig, hostConfig: HostConfig): void {
  if ((config.Entrypoint ?? []).filter(Boolean).length === 0 && (config.Cmd ?? []).length === 0) {
    throw invalid('no command specified');
  }
  if (config.WorkingDir !== '' && !config.WorkingDir.startsWith('/')) {
    throw invalid(`the working directory '${shown(config.WorkingDir)}' is invalid, it needs to be an absolute path`);
  }
  for (const entry of config.Env) {
    if (entry === '' || entry.startsWith('=') || entry.includes('\0'))
      throw invalid(`invalid environment variable: ${shown(entry)}`);
  }
  if (config.StopSignal !== undefined) parseSignal(config.StopSignal);
  if (config.Healthcheck !== undefined) checkHealth(config.Healthcheck);
  checkRestartPolicy(hostConfig.RestartPolicy);
  if (hostConfig.AutoRemove && !isNone(hostConfig.RestartPolicy)) {
    throw invalid("can't create 'AutoRemove' container with restart policy");
  }
  checkNamespaces(hostConfig);
  for (const entry of hostConfig.ExtraHosts) parseExtraHost(entry);
  for (const server of hostConfig.Dns) if (!isIp(server)) throw invalid(`invalid nameserver address: ${shown(server)}`);
  checkLogs(hostConfig);
  checkResources(hostConfig);
}

export const isNone = ({ Name }: RestartPolicy): boolean => Name === '' || Name === 'no';

/** @throws invalid */
export function checkRestartPolicy({ Name, MaximumRetryCount: count }: RestartPolicy): void {
  switch (Name) {
    case '':
    case 'no':
    case 'always':
    case 'unless-stopped':
      if (count !== 0) {
        const negative = count < 0 ? ' and cannot be negative' : '';
        throw invalid(`invalid restart policy: maximum retry count can only be used with 'on-failure'${negative}`);
      }
      return;
    case 'on-failure':
      if (count < 0) throw invalid('invalid restart policy: maximum retry count cannot be negative');
      return;
    default:
      Name satisfies never;
      throw invalid(
        `invalid restart policy: unknown policy '${shown(String(Name))}'; use one of 'no', 'always', 'on-failure', or 'unless-stopped'`,
      );
  }
}

/** Nanoseconds; Docker's least interval is a millisecond, 0 inherits. */
const LEAST_INTERVAL = 1_000_000;

function checkHealth(health: HealthConfig): void {
  for (const name of ['Interval', 'Timeout', 'StartPeriod', 'StartInterval'] as const) {
    const value = health[name] ?? 0;
    if (value !== 0 && value < LEAST_INTERVAL) throw invalid(`${name} in Healthcheck cannot be less than 1ms`);
  }
  if ((health.Retries ?? 0) < 0) throw invalid('Retries in Healthcheck cannot be negative');
  const [kind, ...words] = health.Test ?? [];
  if (kind === undefined || kind === 'NONE') return;
  if (kind !== 'CMD' && kind !== 'CMD-SHELL')
    throw invalid(`Unknown healthcheck type '${shown(kind)}' (expected 'CMD' or 'CMD-SHELL')`);
  if (words.length === 0) throw invalid(`Healthcheck of type ${kind} has no command`);
}

function checkNamespaces({ PidMode, IpcMode, UTSMode }: HostConfig): void {
  const joins = (mode: string): boolean => /^container:.+/.test(mode);
  if (PidMode !== '' && PidMode !== 'host' && !joins(PidMode)) throw invalid(`invalid PID mode: ${shown(PidMode)}`);
  if (!['', 'none', 'private', 'shareable', 'host'].includes(IpcMode) && !joins(IpcMode)) {
    throw invalid(`invalid IPC mode: ${shown(IpcMode)}`);
  }
  if (UTSMode !== '' && UTSMode !== 'host') throw invalid(`invalid UTS mode: ${shown(UTSMode)}`);
}

/** Output is always kept so that `logs` has it; other drivers send it elsewhere. */
function checkLogs({ LogConfig: { Type } }: HostConfig): void {
  if (Type === '' || Type === 'json-file' || Type === 'local') return;
  if (Type === 'none') throw unsupported('the logging driver none is not built: output is kept, and goes with the container');
  throw invalid(`logger: no log driver named '${shown(Type)}' is registered`);
}
