/**
 * Answers of HTTP/1.1 (RFC 9112), as far as one request a connection needs. `node:http` would do it too, but loading it takes as long as
 * everything else that `moor network ls` does.
 */
import { MoorError } from '../../base/errors.ts';

/** bytes; the daemon's heads are a few hundred. */
const HEAD_LIMIT = 64 << 10;

const malformed = (what: string): MoorError => new MoorError('unavailable', `Cannot read the daemon's answer: ${what}`);

type Framing = { readonly type: 'length'; left: number } | { readonly type: 'chunked' } | { readonly type: 'close' };

/** Fed with what comes from the socket; gives out the body as it becomes known. */
export class ResponseParser {
  status = 0;
  /** The whole body has been given out. */
  complete = false;
  #pending: Buffer = Buffer.alloc(0);
  #framing: Framing | null = null;
  /** Bytes left of the present chunk; -1: its size line comes next. */
  #chunkLeft = -1;
  #trailers = false;

  /** @returns the next pieces of the body @throws unavailable for what is not HTTP */
  push(bytes: Buffer): readonly Buffer[] {
    this.#pending = this.#pending.length === 0 ? bytes : Buffer.concat([this.#pending, bytes]);
    // 1xx answers (RFC 9110 section 15.2) precede the real one.
    while (!this.#framing) {
      if (!this.#readHead()) return [];
    }
    switch (this.#framing.type) {
      case 'length':
        return this.#readLength(this.#framing);
      case 'close':
        return this.#take(this.#pending.length);
      case 'chunked':
        return this.#readChunks();
    }
  }

  /** The connection was closed. @throws unavailable when that was too early */
  end(): void {
    if (this.#framing?.type === 'close') this.complete = true;
    if (!this.complete) throw malformed(this.#framing ? 'it ends in the middle' : 'the connection was closed without one');
  }

  /** @returns whether a head was there */
  #readHead(): boolean {
    const end = this.#pending.indexOf('\r\n\r\n');
    if (end < 0) {
      if (this.#pending.length > HEAD_LIMIT) throw malformed('its head has no end');
      return false;
    }
    const [first = '', ...lines] = this.#pending.toString('latin1', 0, end).split('\r\n');
    this.#pending = this.#pending.subarray(end + 4);
    const match = /^HTTP\/1\.\d (\d{3})/.exec(first);
    if (!match) throw malformed('it is not HTTP');
    this.status = Number(match[1]);
    if (this.status < 200) return true;
    const headers = new Map(
      lines.map((line) => {
        const colon = line.indexOf(':');
        return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()];
      }),
    );
    const length = headers.get('content-length');
    if (headers.get('transfer-encoding')?.toLowerCase().endsWith('chunked')) this.#framing = { type: 'chunked' };
    else if (this.status === 204 || this.status === 304) this.#framing = { type: 'length', left: 0 };
    else if (length === undefined) this.#framing = { type: 'close' };
    else if (/^\d+$/.test(length)) this.#framing = { type: 'length', left: Number(length) };
    else throw malformed(`its length is ${length}`);
    return true;
  }

  #readLength(framing: Extract<Framing, { type: 'length' }>): readonly Buffer[] {
    const pieces = this.#take(Math.min(framing.left, this.#pending.length));
    framing.left -= pieces[0]?.length ?? 0;
    this.complete = framing.left === 0;
    return pieces;
  }

  #readChunks(): readonly Buffer[] {
    const pieces: Buffer[] = [];
    while (!this.complete) {
      if (this.#chunkLeft > 0) {
        const [piece] = this.#take(Math.min(this.#chunkLeft, this.#pending.length));
        if (!piece) break;
        pieces.push(piece);
        this.#chunkLeft -= piece.length;
        if (this.#chunkLeft > 0) break;
      }
      const line = this.#line();
      if (line === null) break;
      if (this.#trailers) this.complete = line === '';
      // The line end after a chunk's data.
      else if (this.#chunkLeft === 0) this.#chunkLeft = -1;
      else {
        const size = /^([0-9a-fA-F]{1,8})(?:;.*)?$/.exec(line.trim());
        if (!size) throw malformed('a chunk has no size');
        this.#chunkLeft = Number.parseInt(size[1] ?? '', 16);
        this.#trailers = this.#chunkLeft === 0;
      }
    }
    return pieces;
  }

  #line(): string | null {
    const end = this.#pending.indexOf('\r\n');
    if (end < 0) return null;
    const line = this.#pending.toString('latin1', 0, end);
    this.#pending = this.#pending.subarray(end + 2);
    return line;
  }

  #take(length: number): readonly Buffer[] {
    if (length === 0) return [];
    const piece = this.#pending.subarray(0, length);
    this.#pending = this.#pending.subarray(length);
    return [piece];
  }
}
