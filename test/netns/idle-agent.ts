/** A process inside a namespace that keeps TCP connections open and says what comes out of them, and when they end. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { until } from '../support/snapshot.ts';
import { end, inside, type Place } from './packets.ts';

/**
 * Connections have names, which the client tells first. A line that comes is told as `NAME TEXT`, an end as `NAME !CODE`.
 * libuv sends a keepalive probe a second after `keepAlive` ms of silence, and ten of them.
 */
const AGENT = `
const net = require('node:net');
const say = (text) => process.stdout.write(text + '\\n');
const known = new Map();
function lines(socket, take) {
  let text = '';
  socket.setNoDelay().setEncoding('utf8').on('data', (part) => {
    const all = (text + part).split('\\n');
    text = all.pop();
    all.forEach(take);
  });
}
function ends(socket, name) {
  socket.on('error', (error) => say(name() + ' !' + error.code)).on('end', () => say(name() + ' !end'));
}
const commands = {
  listen: ({ port }) => net.createServer((socket) => {
    let name = '?';
    ends(socket, () => name);
    lines(socket, (line) => {
      if (name === '?') known.set((name = line), socket);
      say(name + ' ' + line);
    });
  }).listen(port, '::', () => say('listens ' + port)),
  connect: ({ name, address, port, keepAlive }) => {
    const socket = net.connect({ host: address, port, ...(keepAlive ? { keepAlive: true, keepAliveInitialDelay: keepAlive } : {}) });
    known.set(name, socket);
    ends(socket, () => name);
    lines(socket, (line) => say(name + ' ' + line));
    socket.on('connect', () => { say(name + ' from ' + socket.localPort); socket.write(name + '\\n'); });
  },
  send: ({ name, text }) => known.get(name).write(text + '\\n'),
};
require('node:readline').createInterface({ input: process.stdin }).on('line', (line) => {
  const command = JSON.parse(line);
  commands[command.do](command);
});
say('up');
`;

interface Target {
  /** Of the connection, on both sides. */
  readonly name: string;
  readonly address: string;
  readonly port: number;
  /** ms of silence before a probe; without it, none is sent */
  readonly keepAlive?: number;
}

export interface IdleAgent extends AsyncDisposable {
  readonly listen: (port: number) => Promise<void>;
  /** @returns the client's port */
  readonly connect: (to: Target) => Promise<number>;
  readonly send: (name: string, text: string) => void;
  /** Waits for a line, as long as it takes. @throws when the connection ends instead */
  readonly hears: (name: string, text: string) => Promise<void>;
  /** Waits for the end of a connection. @returns the errno, or `end` */
  readonly ends: (name: string) => Promise<string>;
  /** Whether the line has not come after a second; a busy machine can only make that true too often. */
  readonly deaf: (name: string, text: string) => Promise<boolean>;
}

/** Milliseconds. */
const PATIENCE = 30_000;
const SILENCE = 1000;

export function idleAgent(place: Place): IdleAgent {
  const [file = '', ...args] = inside(place, [process.execPath, '-e', AGENT]);
  const child = spawn(file, args, { stdio: ['pipe', 'pipe', 'inherit'] });
  const lines: string[] = [];
  createInterface({ input: child.stdout }).on('line', (line) => lines.push(line));
  const command = (words: object): void => void child.stdin.write(`${JSON.stringify(words)}\n`);
  const ended = (name: string): string | undefined => lines.find((line) => line.startsWith(`${name} !`))?.slice(name.length + 2);
  const came = (line: string): boolean => lines.includes(line);
  return {
    listen: async (port) => {
      command({ do: 'listen', port });
      assert.ok(await until(async () => came(`listens ${port}`), PATIENCE), `nobody listens at ${port}`);
    },
    connect: async (to) => {
      command({ do: 'connect', ...to });
      const start = `${to.name} from `;
      assert.ok(
        await until(async () => lines.some((line) => line.startsWith(start)), PATIENCE),
        `${to.name} does not come about`,
      );
      return Number(lines.find((line) => line.startsWith(start))?.slice(start.length));
    },
    send: (name, text) => command({ do: 'send', name, text }),
    hears: async (name, text) => {
      const found = await until(async () => came(`${name} ${text}`) || ended(name) !== undefined, PATIENCE);
      assert.ok(found && came(`${name} ${text}`), `${name}: "${text}" did not come, ${ended(name) ?? 'silence'}`);
    },
    ends: async (name) => {
      assert.ok(await until(async () => ended(name) !== undefined, PATIENCE), `${name} is still open`);
      return ended(name) ?? '';
    },
    deaf: async (name, text) => !(await until(async () => came(`${name} ${text}`), SILENCE)),
    [Symbol.asyncDispose]: () => end(child),
  };
}
