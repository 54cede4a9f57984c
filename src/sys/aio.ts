/**
 * Writes that another thread does: aio(7). The C library starts a thread when there is something to write, and ends it after a second
 * without. Unlike the four of Node's pool, which also read files for everybody, it has nothing else to do, and keeps nobody waiting.
 */
import { constants } from 'node:os';
import type { Fd } from './fd.ts';
import { type Address, check, libc } from './libc.ts';

/** `struct aiocb`, <aio.h>, with 64-bit pointers: int aio_fildes at 0, pointer aio_buf, size_t aio_nbytes, struct sigevent aio_sigevent. */
const AIOCB = 168;
const BUFFER_AT = 16;
const LENGTH_AT = 24;
/** int sigev_notify is at 12 of the sigevent. */
const NOTIFY_AT = 32 + 12;
const SIGEV_NONE = 1;

export class AsideWrite {
  /** Not in JavaScript's memory: when a thread of ours ends, that is freed, and the C library still writes the result here. */
  #block: Address;

  /**
   * Starts one write(2).
   * @param fd must stay open until `done`
   * @throws exhausted when no thread can be started
   */
  constructor(fd: Fd, bytes: Uint8Array) {
    const block = new Uint8Array(AIOCB + bytes.length);
    block.set(bytes, AIOCB);
    const view = new DataView(block.buffer);
    this.#block = libc.calloc(block.length, 1);
    view.setInt32(0, fd.number, true);
    view.setBigUint64(BUFFER_AT, BigInt(this.#block + AIOCB), true);
    view.setBigUint64(LENGTH_AT, BigInt(bytes.length), true);
    view.setInt32(NOTIFY_AT, SIGEV_NONE, true);
    libc.memcpy(this.#block, block, block.length);
    try {
      check(libc.aioWrite(this.#block), () => `aio_write to ${fd.what}`);
    } catch (error) {
      this.#free();
      throw error;
    }
  }

  /** Whether the write has ended, well or badly. */
  done(): boolean {
    if (this.#block === 0) return true;
    if (libc.aioError(this.#block) === constants.errno.EINPROGRESS) return false;
    libc.aioReturn(this.#block);
    this.#free();
    return true;
  }

  #free(): void {
    libc.free(this.#block);
    this.#block = 0;
  }
}
