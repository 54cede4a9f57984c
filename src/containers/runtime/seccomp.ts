/** A seccomp profile in Docker's form -> the OCI runtime's: conditions on capabilities, architecture and kernel are decided here. */
import { invalid } from '../../base/errors.ts';
import type { SeccompProfile, SeccompRule } from './seccomp-profile.ts';

/** What the conditions ask for. */
export interface SeccompFacts {
  /** Go's name: `amd64`, `arm64`. */
  readonly architecture: string;
  /** `6.1.0-13-amd64` */
  readonly kernel: string;
}

/** linux.seccomp of the OCI runtime specification. */
export interface OciSeccomp {
  readonly defaultAction: string;
  readonly defaultErrnoRet?: number;
  readonly architectures?: readonly string[];
  readonly flags?: readonly string[];
  readonly syscalls: readonly Readonly<Record<string, unknown>>[];
}

const NATIVE: Readonly<Record<string, string>> = { amd64: 'SCMP_ARCH_X86_64', arm64: 'SCMP_ARCH_AARCH64' };

/** @param capabilities that the container has, as `CAP_X` */
export function resolveSeccomp(profile: SeccompProfile, capabilities: readonly string[], facts: SeccompFacts): OciSeccomp {
  const rules = (profile.syscalls ?? []).filter((rule) => holds(rule, capabilities, facts));
  const architectures = profile.architectures ?? architecturesOf(profile, facts.architecture);
  return {
    defaultAction: profile.defaultAction,
    ...(profile.defaultErrnoRet === undefined ? {} : { defaultErrnoRet: profile.defaultErrnoRet }),
    ...(architectures.length === 0 ? {} : { architectures }),
    ...(profile.flags ? { flags: profile.flags } : {}),
    syscalls: rules.map(({ names, name, action, errnoRet, args }) => ({
      names: names ?? (name === undefined ? [] : [name]),
      action,
      ...(errnoRet === undefined ? {} : { errnoRet }),
      ...(args?.length ? { args } : {}),
    })),
  };
}

/**
 * A profile that a user gave: the text of a file (the docker command line sends the content).
 * @throws invalid, in Docker's words
 */
export function parseSeccomp(text: string): SeccompProfile {
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch (error) {
    throw invalid(`Decoding seccomp profile failed: ${error instanceof Error ? error.message : String(error)}`);
  }
  if (typeof parsed !== 'object' || parsed === null || !('defaultAction' in parsed) || typeof parsed.defaultAction !== 'string') {
    throw invalid('Decoding seccomp profile failed: it has no defaultAction');
  }
  const { syscalls } = parsed as { readonly syscalls?: unknown };
  const isRule = (rule: unknown): boolean =>
    typeof rule === 'object' && rule !== null && 'action' in rule && typeof rule.action === 'string';
  if (syscalls !== undefined && syscalls !== null && !(Array.isArray(syscalls) && syscalls.every(isRule))) {
    throw invalid('Decoding seccomp profile failed: its syscalls are not a list of rules');
  }
  return parsed as SeccompProfile;
}

function architecturesOf(profile: SeccompProfile, architecture: string): readonly string[] {
  const native = NATIVE[architecture];
  const entry = profile.archMap?.find((candidate) => candidate.architecture === native);
  return entry ? [entry.architecture, ...(entry.subArchitectures ?? [])] : [];
}

function holds({ includes, excludes }: SeccompRule, capabilities: readonly string[], facts: SeccompFacts): boolean {
  const has = (capability: string): boolean => capabilities.includes(capability);
  const isHere = (arches: readonly string[]): boolean => arches.includes(facts.architecture);
  if (includes) {
    if (includes.caps && !includes.caps.every(has)) return false;
    if (includes.arches?.length && !isHere(includes.arches)) return false;
    if (includes.minKernel !== undefined && !atLeast(facts.kernel, includes.minKernel)) return false;
  }
  if (excludes) {
    if (excludes.caps?.some(has)) return false;
    if (excludes.arches && isHere(excludes.arches)) return false;
    if (excludes.minKernel !== undefined && atLeast(facts.kernel, excludes.minKernel)) return false;
  }
  return true;
}

/** Is kernel `6.1.0-13-amd64` at least `4.8`? */
export function atLeast(kernel: string, version: string): boolean {
  const [major = 0, minor = 0] = kernel.split(/[.-]/).map(Number);
  const [wantedMajor = 0, wantedMinor = 0] = version.split('.').map(Number);
  return major > wantedMajor || (major === wantedMajor && minor >= wantedMinor);
}
