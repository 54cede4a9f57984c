/** The process of a container or of an exec: arguments, environment, directory, rights. */
import { invalid } from '../../base/errors.ts';
import type { ExecRequest, StartRequest } from '../../contracts/containers.ts';
import type { HostConfig } from '../../model/container.ts';
import { capabilities } from './capabilities.ts';
import { INIT_TARGET } from './mounts.ts';
import type { OciProcess, OciUser } from './oci.ts';
import { rlimits } from './resources.ts';
import { type SecurityOptions, securityOptions } from './security.ts';

const PATH = 'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

export interface ProcessFacts {
  /** Bits of the capabilities that the daemon may hand on. */
  readonly capabilities: bigint;
  readonly user: OciUser;
}

/** @throws invalid `no command specified` */
export function containerProcess(request: StartRequest, facts: ProcessFacts): OciProcess {
  const { config, hostConfig } = request.container;
  const args = commandOf(request);
  return {
    ...rights(hostConfig, facts, { privileged: hostConfig.Privileged, security: securityOptions(hostConfig.SecurityOpt) }),
    terminal: config.Tty,
    args: hostConfig.Init ? [INIT_TARGET, '--', ...args] : args,
    env: environment([request.image.config.Env ?? [], config.Env], { hostname: request.hostname, tty: config.Tty }),
    cwd: config.WorkingDir || request.image.config.WorkingDir || '/',
    ...(hostConfig.OomScoreAdj === 0 ? {} : { oomScoreAdj: hostConfig.OomScoreAdj }),
  };
}

/** @param started the container's own process: an exec inherits its environment and its directory */
export function execProcess(request: ExecRequest, started: OciProcess, facts: ProcessFacts): OciProcess {
  const { hostConfig } = request.container;
  if (request.command.length === 0) throw invalid('No exec command specified');
  return {
    ...rights(hostConfig, facts, {
      privileged: hostConfig.Privileged || request.privileged,
      security: securityOptions(hostConfig.SecurityOpt),
    }),
    terminal: request.tty,
    args: request.command,
    env: environment([started.env, request.env], { hostname: '', tty: request.tty }),
    cwd: request.workingDir || started.cwd,
  };
}

/**
 * Docker's rules: what the container says replaces what the image says, and an entry point given without a command drops the image's command.
 * `--entrypoint ""` comes as a list of one empty word, and means none.
 */
function commandOf({ container: { config }, image }: StartRequest): readonly string[] {
  const given = config.Entrypoint ?? [];
  const cleared = given.length === 1 && given[0] === '';
  const entrypoint = cleared ? [] : given.length > 0 ? given : (image.config.Entrypoint ?? []);
  const inherits = given.length === 0 || cleared;
  const command = config.Cmd?.length ? config.Cmd : inherits ? (image.config.Cmd ?? []) : [];
  const args = [...entrypoint, ...command];
  if (args.length === 0) throw invalid('no command specified');
  return args;
}

/** Later lists replace variables of earlier ones; a word without `=` removes the variable. */
function environment(
  lists: readonly (readonly string[])[],
  { hostname, tty }: { readonly hostname: string; readonly tty: boolean },
): readonly string[] {
  const variables = new Map<string, string | null>();
  const defaults = [PATH, ...(hostname === '' ? [] : [`HOSTNAME=${hostname}`]), ...(tty ? ['TERM=xterm'] : [])];
  for (const entry of [defaults, ...lists].flat()) {
    const at = entry.indexOf('=');
    variables.set(at < 0 ? entry : entry.slice(0, at), at < 0 ? null : entry);
  }
  return [...variables.values()].filter((entry) => entry !== null);
}

function rights(
  hostConfig: HostConfig,
  { capabilities: available, user }: ProcessFacts,
  { privileged, security }: { readonly privileged: boolean; readonly security: SecurityOptions },
): Pick<OciProcess, 'user' | 'capabilities' | 'rlimits' | 'noNewPrivileges'> {
  const allowed = capabilities({ privileged, add: hostConfig.CapAdd, drop: hostConfig.CapDrop }, available);
  const limits = rlimits(hostConfig.Ulimits);
  return {
    user,
    capabilities: { bounding: allowed, effective: allowed, permitted: allowed },
    ...(limits.length === 0 ? {} : { rlimits: limits }),
    noNewPrivileges: security.noNewPrivileges,
  };
}
