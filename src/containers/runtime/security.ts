/** `--security-opt` */
import { invalid } from '../../base/errors.ts';
import { parseSeccomp } from './seccomp.ts';
import { defaultProfile, type SeccompProfile } from './seccomp-profile.ts';

export interface SecurityOptions {
  readonly noNewPrivileges: boolean;
  /** null: unconfined */
  readonly seccomp: SeccompProfile | null;
  /** `systempaths=unconfined`: nothing of /proc is hidden. */
  readonly systemPaths: boolean;
}

const BOOLEANS: Readonly<Record<string, boolean>> = { true: true, false: false, '1': true, '0': false };

/**
 * Options of AppArmor and SELinux are taken and have no effect: neither is set up by us.
 * @param options `no-new-privileges`, `seccomp=unconfined`, `seccomp=<profile>`, also with `:` for `=` as in old days
 * @throws invalid for one that is unknown
 */
export function securityOptions(options: readonly string[]): SecurityOptions {
  let result: SecurityOptions = { noNewPrivileges: false, seccomp: defaultProfile, systemPaths: false };
  for (const [index, option] of options.entries()) {
    if (option === 'no-new-privileges') {
      result = { ...result, noNewPrivileges: true };
      continue;
    }
    const at = option.search(/[=:]/);
    const [key, value] = at < 0 ? [option, ''] : [option.slice(0, at), option.slice(at + 1)];
    switch (key) {
      case 'no-new-privileges': {
        const on = BOOLEANS[value.toLowerCase()];
        if (on === undefined) throw invalid(`invalid --security-opt ${index + 1}: "${option}"`);
        result = { ...result, noNewPrivileges: on };
        break;
      }
      case 'seccomp':
        result = {
          ...result,
          seccomp: value === 'unconfined' ? null : value === 'builtin' ? defaultProfile : parseSeccomp(value),
        };
        break;
      case 'systempaths':
        if (value !== 'unconfined') throw invalid(`invalid --security-opt ${index + 1}: "${option}"`);
        result = { ...result, systemPaths: true };
        break;
      case 'label':
      case 'apparmor':
        break;
      default:
        throw invalid(`invalid --security-opt ${index + 1}: "${option}"`);
    }
  }
  return result;
}
