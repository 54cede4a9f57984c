/** libnftables(3) in process: a transaction without a fork. */
import koffi from 'koffi';
import { MoorError } from '../base/errors.ts';
import { openEvent } from './poll.ts';

/** NFT_CTX_OUTPUT_..., <nftables/libnftables.h> */
const OUTPUT_STATELESS = 1 << 2;
const OUTPUT_HANDLE = 1 << 3;
const OUTPUT_JSON = 1 << 4;

export interface NftResult {
  /** 0 = done. */
  readonly rc: number;
  readonly output: string;
  readonly error: string;
}

/** One libnftables context. It belongs to one thread, and to the namespace in which it was made. */
export interface Nft extends Disposable {
  /**
   * Runs commands as one transaction.
   * @param commands nft(8) text, or JSON (libnftables-json(5))
   * @param json in and out: the commands may be JSON, the output is; otherwise it is text with handles and without counts (nft -a -s)
   */
  readonly run: (commands: string, json?: boolean) => NftResult;
}

type Context = object;
interface Library {
  readonly create: (flags: number) => Context | null;
  readonly free: (context: Context) => void;
  readonly setFlags: (context: Context, flags: number) => void;
  readonly bufferOutput: (context: Context) => number;
  readonly bufferError: (context: Context) => number;
  readonly run: (context: Context, commands: string) => number;
  readonly output: (context: Context) => string | null;
  readonly error: (context: Context) => string | null;
}

let library: Library | string | undefined;

/**
 * Opens a context in the calling thread's namespace.
 * @returns a reason in place of it when libnftables.so.1 is not installed
 * @throws exhausted when the context cannot be made, or no descriptors are left
 */
export function openNft(): { readonly nft: Nft; readonly reason?: undefined } | { readonly nft: null; readonly reason: string } {
  library ??= load();
  if (typeof library === 'string') return { nft: null, reason: library };
  const { create, free, setFlags, bufferOutput, bufferError, run, output, error } = library;
  assertRoom();
  const context = create(0);
  if (!context || bufferOutput(context) !== 0 || bufferError(context) !== 0) {
    throw new MoorError('exhausted', 'Cannot open a libnftables context: nft_ctx_new failed');
  }
  let open = true;
  return {
    nft: {
      run(commands, json = false) {
        if (!open) throw new MoorError('internal', 'Cannot run nft commands: the context is closed');
        setFlags(context, json ? OUTPUT_JSON : OUTPUT_HANDLE | OUTPUT_STATELESS);
        const rc = run(context, commands);
        // Reading a buffer also empties it: both, after every run.
        return { rc, output: output(context) ?? '', error: error(context) ?? '' };
      },
      [Symbol.dispose]() {
        if (open) free(context);
        open = false;
      },
    },
  };
}

/** Descriptors: a context takes one, and in the moment between other threads may take some. */
const ROOM = 8;

/** FD_SETSIZE, <sys/select.h> */
const SELECTABLE = 1024;

/**
 * A context that cannot have its socket ends the process (netlink_init_error() of libnftables 1.0.6 calls exit(3)), and so does one whose socket has a
 * number that select(2) does not know: there must be room below it. What there are thousands of is kept out of there (`aside`).
 * @throws exhausted
 */
function assertRoom(): void {
  using stack = new DisposableStack();
  for (let i = 0; i < ROOM; i++) {
    const { number } = stack.use(openEvent());
    if (number >= SELECTABLE)
      throw new MoorError('exhausted', `Cannot open a libnftables context: the first ${SELECTABLE} file descriptors are taken`);
  }
}

/** @returns the reason when it cannot be loaded */
function load(): Library | string {
  let handle: ReturnType<typeof koffi.load>;
  try {
    handle = koffi.load('libnftables.so.1');
  } catch (error) {
    return `libnftables.so.1 cannot be loaded (Debian package libnftables1): ${error instanceof Error ? error.message : String(error)}`;
  }
  const context = koffi.pointer(koffi.opaque());
  return {
    create: handle.func('nft_ctx_new', context, ['uint32_t']) as Library['create'],
    free: handle.func('nft_ctx_free', 'void', [context]) as Library['free'],
    setFlags: handle.func('nft_ctx_output_set_flags', 'void', [context, 'uint']) as Library['setFlags'],
    bufferOutput: handle.func('nft_ctx_buffer_output', 'int', [context]) as Library['bufferOutput'],
    bufferError: handle.func('nft_ctx_buffer_error', 'int', [context]) as Library['bufferError'],
    run: handle.func('nft_run_cmd_from_buffer', 'int', [context, 'const char *']) as Library['run'],
    output: handle.func('nft_ctx_get_output_buffer', 'const char *', [context]) as Library['output'],
    error: handle.func('nft_ctx_get_error_buffer', 'const char *', [context]) as Library['error'],
  };
}
