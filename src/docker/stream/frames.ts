/** Docker's multiplexed stream: eight bytes of header before each chunk, which say what stream it is of and how long it is. */

export type StreamName = 'stdin' | 'stdout' | 'stderr';

const NUMBERS: Readonly<Record<StreamName, number>> = { stdin: 0, stdout: 1, stderr: 2 };
/** bytes: stream number, three zeros, length of the payload as a big-endian u32 */
export const HEADER_LENGTH = 8;

export function frameHeader(stream: StreamName, length: number): Buffer {
  const header = Buffer.alloc(HEADER_LENGTH);
  header[0] = NUMBERS[stream];
  header.writeUInt32BE(length, 4);
  return header;
}

export const frame = (stream: StreamName, data: Uint8Array): Buffer => Buffer.concat([frameHeader(stream, data.length), data]);
