// test-timeout: 120 s
/** What goes through published ports while things go wrong: the daemon is killed, rules are flushed, a container is replaced. */
import assert from 'node:assert/strict';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { test } from 'node:test';
import { startDaemon, type TestDaemon } from '../support/daemon.ts';
import { until } from '../support/snapshot.ts';

/** What localhost asks for is translated too, as everything else is. */
const TRANSLATED = { args: ['--loopback-shortcut=false'] } as const;

/** Answers each line of TCP with it and the server's name, each datagram likewise. */
const SERVER = (name: string): string => `
  require('net').createServer((s)=>s.on('data',(d)=>s.write(d.toString().trim()+' ${name}\\n'))).listen(7000);
  const u=require('dgram').createSocket('udp4'); u.on('message',(m,r)=>u.send(m.toString()+' ${name}',r.port,r.address)); u.bind(7000);`;

/** Writes a number every 20 ms through one connection, and prints what comes back. */
const TCP_CLIENT = (port: number): string => `
  let n=0; const open=()=>{ const s=require('net').connect(${port},'127.0.0.1'); let up=false;
    s.on('connect',()=>{up=true;setInterval(()=>s.write(++n+'\\n'),20)}); s.on('data',(d)=>process.stdout.write(d));
    s.on('error',(e)=>{ if(!up&&e.code==='ECONNREFUSED') return setTimeout(open,20); console.log(e.code); process.exit(1)});
    s.on('close',()=>{ if(up){console.log('closed');process.exit(1)} }); };
  open(); process.stdin.resume().on('end',()=>process.exit());`;
const UDP_CLIENT = (port: number): string => `
  const u=require('dgram').createSocket('udp4'); let n=0; u.bind(40000,'172.30.0.1');
  u.on('message',(m)=>console.log(m.toString())); u.on('error',()=>{});
  setInterval(()=>u.send(String(++n),${port},'172.17.0.1'),20); process.stdin.resume().on('end',()=>process.exit());`;

interface Client extends AsyncDisposable {
  readonly child: ChildProcess;
  readonly lines: readonly string[];
  /** Waits for a line that comes from now on. */
  readonly next: (pattern: RegExp) => Promise<boolean>;
}

function client(daemon: TestDaemon, script: string): Client {
  const child = daemon.spawnInside(process.execPath, '-e', script);
  const lines: string[] = [];
  child.stdout?.setEncoding('utf8').on('data', (text: string) => lines.push(...text.split('\n').filter(Boolean)));
  return {
    child,
    lines,
    next: (pattern) => {
      const from = lines.length;
      return until(async () => lines.slice(from).some((line) => pattern.test(line)), 10_000);
    },
    async [Symbol.asyncDispose]() {
      const ended = child.exitCode === null ? once(child, 'exit') : null;
      child.stdin?.end();
      await ended;
    },
  };
}

async function serve(daemon: TestDaemon, name: string, ...more: readonly string[]): Promise<void> {
  const words = ['run', '-d', '--name', name, ...more, '--', process.execPath, '-e', SERVER(name)];
  const { code, stderr } = await daemon.moor(...words);
  assert.equal(code, 0, stderr);
}

const bindError = async (daemon: TestDaemon, port: number): Promise<string> => {
  const script = `require('net').createServer().on('error',e=>console.log(e.code)).listen(${port},()=>{console.log('listens');process.exit()})`;
  return (await daemon.inside(process.execPath, '-e', script)).stdout.trim();
};

test('kill -9 and a new daemon: the connection goes on, the port stays ours, and one that was taken meanwhile is told of', async () => {
  await using daemon = await startDaemon(TRANSLATED);
  await serve(daemon, 'web', '-p', '7000:7000', '-p', '7001:7001');
  await using traffic = client(daemon, TCP_CLIENT(7000));
  assert.ok(await traffic.next(/ web$/));
  await daemon.stop('SIGKILL');
  assert.ok(await traffic.next(/ web$/), 'without a daemon');
  await using thief = client(
    daemon,
    `require('net').createServer().listen(7001,()=>console.log('up'));process.stdin.resume().on('end',()=>process.exit())`,
  );
  assert.ok(await until(async () => thief.lines.includes('up'), 5000));
  await daemon.start();
  assert.ok(await traffic.next(/ web$/), 'with the next one');
  assert.ok(!traffic.lines.includes('closed'));
  assert.equal(await bindError(daemon, 7000), 'EADDRINUSE');
  const { warnings } = (await daemon.request('GET', '/moor/status')).json() as { readonly warnings: readonly string[] };
  const told = warnings.filter((line) =>
    /^port 0\.0\.0\.0:7001\/tcp of web is published and cannot be held: \S+ \(pid \d+\) has it/.test(line),
  );
  assert.equal(told.length, 1, warnings.join('\n'));
  assert.match(daemon.log(), /cannot be held/);
  await daemon.moor('rm', '-f', 'web');
  assert.equal(await bindError(daemon, 7000), 'listens');
});

test('nft flush ruleset during traffic: connections go on, new ones work again', async () => {
  await using daemon = await startDaemon(TRANSLATED);
  await serve(daemon, 'web', '-p', '7000:7000');
  await using traffic = client(daemon, TCP_CLIENT(7000));
  assert.ok(await traffic.next(/ web$/));
  for (let i = 0; i < 3; i++) {
    await daemon.inside('nft', 'flush', 'ruleset');
    const back = await until(
      async () => (await daemon.inside('nft', 'list', 'table', 'inet', 'moor')).stdout.includes('. 7000 '),
      15_000,
    );
    assert.ok(back);
  }
  assert.ok(await traffic.next(/ web$/), traffic.lines.slice(-5).join(' '));
  assert.ok(!traffic.lines.some((line) => /closed|ECONN/.test(line)), traffic.lines.join(' '));
  await using another = client(daemon, TCP_CLIENT(7000));
  assert.ok(await another.next(/ web$/));
});

test('a UDP client that never stops is served by the next container, by a port that is added, and after a flush', async () => {
  await using daemon = await startDaemon();
  // A client with an address of its own, so that nothing is translated but the destination.
  assert.equal((await daemon.inside('sh', '-c', 'ip addr add 172.30.0.1/32 dev lo')).code, 0);
  await serve(daemon, 'one', '-p', '7000:7000/udp');
  await using traffic = client(daemon, UDP_CLIENT(7000));
  assert.ok(await traffic.next(/ one$/));
  assert.equal((await daemon.moor('rm', '-f', 'one')).code, 0);
  // Now the host itself gets them, and remembers that.
  assert.ok(await until(async () => /dport=7000 /.test((await daemon.inside('conntrack', '-L', '-p', 'udp')).stdout), 5000));
  await serve(daemon, 'two', '-p', '7000:7000/udp');
  assert.ok(await traffic.next(/ two$/), 'after the container was replaced');
  assert.equal((await daemon.moor('port', 'rm', 'two', '7000/udp')).code, 0);
  const silent = traffic.lines.length;
  await until(async () => false, 300);
  assert.ok(traffic.lines.length <= silent + 1, 'what was unpublished leads nowhere, also for those who use it');
  assert.equal((await daemon.moor('port', 'add', 'two', '7000:7000/udp')).code, 0);
  assert.ok(await traffic.next(/ two$/), 'after it was published again');
  await daemon.inside('sh', '-c', 'nft flush ruleset; conntrack -D -p udp');
  assert.ok(await traffic.next(/ two$/), 'after a flush');
});
