/**
 * The outside world: a process in a network namespace of its own, with a server on port 80 that greets each caller by the address
 * it sees. It has no route to any container network, so an answer proves that the caller came with the host's address.
 */
import { createServer } from 'node:net';

const server = createServer((socket) => {
  socket.on('error', () => {}); // a caller that leaves early
  socket.end(`hello ${socket.remoteAddress?.replace(/^::ffff:/, '')}, this is the outside world\n`);
});
server.listen(80, '0.0.0.0', () => console.log(`ready ${process.pid}`));
