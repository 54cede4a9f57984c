/** The token that stands for user and password. Fetched when first needed, and again when a server does not know it any more. */
import type { Logger } from '../../base/clock.ts';
import { AUTHENTICATE } from './api.ts';
import { isAuthOff } from './faults.ts';
import { RpcError } from './grpc.ts';
import type { CallHeaders, Session } from './session.ts';

export interface Credentials {
  readonly user: string;
  readonly password: string;
}

/** Header that carries the token: metadata "token", etcd's auth/metrics of rpctypes/metadatafields.go. */
const TOKEN = 'token';

export class Auth {
  readonly #credentials: Credentials | null;
  readonly #logger: Logger;
  /** null: not asked yet. Empty: the server wants none. */
  #token: string | null;
  #asking: Promise<string> | null = null;

  constructor(credentials: Credentials | null, logger: Logger) {
    this.#credentials = credentials;
    this.#logger = logger;
    this.#token = credentials ? null : '';
  }

  /** Headers for a call. Those who ask at the same time share one question. @throws RpcError */
  async headers(session: Session, timeoutMs: number): Promise<CallHeaders> {
    if (this.#token === null) {
      this.#asking ??= this.#ask(session, timeoutMs).finally(() => (this.#asking = null));
      this.#token = await this.#asking;
    }
    return this.#token === '' ? {} : { [TOKEN]: this.#token };
  }

  /**
   * A call with these headers was refused for its token.
   * @returns whether another try makes sense: there are credentials
   */
  refused(headers: CallHeaders): boolean {
    if (!this.#credentials) return false;
    // Somebody else may have fetched a new one meanwhile.
    if ((headers[TOKEN] ?? '') === this.#token) this.#token = null;
    return true;
  }

  async #ask(session: Session, timeoutMs: number): Promise<string> {
    const { user, password } = this.#credentials ?? { user: '', password: '' };
    try {
      const request = AUTHENTICATE.request.encode({ name: user, password });
      const answer = await session.unary(AUTHENTICATE.path, request, { headers: {}, timeoutMs });
      return AUTHENTICATE.response.decode(answer).token;
    } catch (error) {
      // The call that the token was for has not been made.
      if (error instanceof RpcError && !isAuthOff(error)) throw new RpcError(error.code, error.message, false);
      if (!isAuthOff(error)) throw error;
      this.#logger.warn({ server: session.name, user }, 'etcd: user and password are not needed: authentication is off');
      return '';
    }
  }
}
