/** A web page that greets who asks, by the address that it sees. Usage: node page.ts WORD... */
import { createServer } from 'node:http';

const name = process.argv.slice(2).join(' ');
const server = createServer(({ socket }, response) => {
  response.end(`hello ${socket.remoteAddress?.replace(/^::ffff:/, '')}, this is ${name}\n`);
});
server.listen(80);
