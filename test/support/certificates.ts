/** Certificates for a test, made by openssl: an authority, and what it has signed. */
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';

export interface Signed {
  readonly cert: string;
  readonly key: string;
}

export interface Authority {
  /** File with its certificate. */
  readonly ca: string;
  /** @param names subject alternative names: `IP:127.0.0.1,DNS:localhost` */
  readonly sign: (name: string, names: string) => Signed;
}

/** Files lie in `folder`, named after the authority. */
export function createAuthority(folder: string, name: string): Authority {
  const file = (ending: string): string => join(folder, `${name}${ending}`);
  const openssl = (...args: readonly string[]): void => void execFileSync('openssl', args, { stdio: 'pipe' });
  const fresh = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2'];
  openssl('req', '-x509', ...fresh, '-subj', `/CN=${name}`, '-keyout', file('.key'), '-out', file('.pem'));
  return {
    ca: file('.pem'),
    sign: (subject, names) => {
      const [cert, key] = [file(`-${subject}.pem`), file(`-${subject}.key`)];
      const by = ['-CA', file('.pem'), '-CAkey', file('.key')];
      openssl(
        'req',
        '-x509',
        ...fresh,
        ...by,
        '-subj',
        `/CN=${subject}`,
        '-addext',
        `subjectAltName=${names}`,
        '-keyout',
        key,
        '-out',
        cert,
      );
      return { cert, key };
    },
  };
}
