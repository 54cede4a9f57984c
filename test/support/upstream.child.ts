/**
 * A DNS server that knows one address: `node upstream.child.ts ADDRESS ANSWER` answers every A query with ANSWER, and says that there is nothing to all
 * others. Prints `ready`, then the name of each query in lower case (names may come in mixed case, to make forgery harder).
 */
import { createSocket } from 'node:dgram';
import { createServer } from 'node:net';

const [address = '', answer = ''] = process.argv.slice(2);

/** Where the question ends: names in it are not compressed (RFC 1035 section 4.1). */
function question(query: Buffer): { readonly name: string; readonly type: number; readonly end: number } {
  const labels: string[] = [];
  let at = 12;
  for (let length = query.readUInt8(at); length > 0; length = query.readUInt8(at)) {
    labels.push(query.toString('latin1', at + 1, at + 1 + length));
    at += length + 1;
  }
  return { name: labels.join('.').toLowerCase(), type: query.readUInt16BE(at + 1), end: at + 5 };
}

function reply(query: Buffer): Buffer {
  const { name, type, end } = question(query);
  process.stdout.write(`${name}\n`);
  const isA = type === 1;
  const head = Buffer.alloc(12);
  query.copy(head, 0, 0, 2);
  head.writeUInt16BE(0x8180, 2); // a response, recursion desired and available
  head.writeUInt16BE(1, 4);
  head.writeUInt16BE(isA ? 1 : 0, 6);
  // The name again (a pointer to it), A, IN, TTL 0, four bytes.
  const record = Buffer.from([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4, ...answer.split('.').map(Number)]);
  return Buffer.concat([head, query.subarray(12, end), ...(isA ? [record] : [])]);
}

const udp = createSocket('udp4', (query, { port, address: from }) => udp.send(reply(query), port, from));
const tcp = createServer((socket) => {
  socket.on('error', () => {}); // a client that has gone
  socket.on('data', (data: Buffer) => {
    const text = reply(data.subarray(2));
    const length = Buffer.alloc(2);
    length.writeUInt16BE(text.length);
    socket.end(Buffer.concat([length, text]));
  });
});
udp.bind(53, address, () => tcp.listen(53, address, () => process.stdout.write('ready\n')));
