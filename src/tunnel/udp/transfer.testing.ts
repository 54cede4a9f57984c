/** Bytes through two tunnels, from container 1 to container 2. */
import { execFile, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { promisify } from 'node:util';
import { inside } from './lab.testing.ts';

const run = promisify(execFile);

const SERVER = `const s=require('node:net').createServer(c=>{const h=require('node:crypto').createHash('sha256');c.on('data',d=>h.update(d));c.on('end',()=>c.end(h.digest('hex')))});s.listen(7000,'::',()=>console.log('up'))`;
const CLIENT = `const n=require('node:net').connect(7000,process.argv[1]);process.stdin.pipe(n);n.on('data',d=>process.stdout.write(d))`;

/** Sends bytes from c1 to a server in c2. @returns what the server got, hashed */
export async function transfer(to: string, bytes: Buffer): Promise<string> {
  const [file, args] = inside('c2', process.execPath, '-e', SERVER);
  const server = spawn(file, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  try {
    await once(server.stdout, 'data');
    const client = run(...inside('c1', process.execPath, '-e', CLIENT, to), { timeout: 60_000 });
    // What went wrong is told by the client itself.
    client.child.stdin?.on('error', () => {});
    client.child.stdin?.end(bytes);
    return (await client).stdout;
  } finally {
    server.kill('SIGKILL');
    await once(server, 'exit');
  }
}

export const sha = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');
