import assert from 'node:assert/strict';
import { it } from 'node:test';
import { COMMANDS } from '../commands/commands.ts';
import { answerCompletion } from './answer.ts';
import { complete, type Names } from './words.ts';

const NAMES: Names = {
  networks: () =>
    Promise.resolve([
      { word: 'my_net', help: 'bridge' },
      { word: 'my_net2', help: 'bridge' },
      { word: 'none', help: 'null' },
    ]),
  sandboxes: () => Promise.resolve([{ word: 'web', help: 'bash' }]),
};

/** The last word is the one being typed; a line that ends in a space starts a new one. */
async function offered(line: string): Promise<string> {
  const offer = await complete(line.split(' ').slice(1), COMMANDS, NAMES);
  if (offer.type === 'words') return offer.candidates.map(({ word }) => word).join(' ');
  return offer.type === 'file' ? '<file>' : `<command ${offer.from}>`;
}

const CASES: readonly (readonly [line: string, offered: string])[] = [
  ['moor net', 'network'],
  ['moor network ', 'connect create disconnect inspect ls prune rm'],
  ['moor network i', 'inspect'],
  ['moor network inspect ', 'my_net my_net2 none'],
  ['moor network inspect my_net my', 'my_net my_net2'],
  ['moor network connect my_net ', 'web'],
  ['moor network connect my_net web ', ''],
  ['moor network connect --ip 10.0.0.1 my_net w', 'web'],
  ['moor network connect --ip ', ''],
  ['moor network remove my_net2', 'my_net2'],
  ['moor network create --sub', '--subnet'],
  ['moor network create --internal=', '--internal=true --internal=false'],
  ['moor network create -d ', 'bridge routed overlay'],
  ['moor network create -d b', 'bridge'],
  ['moor network create --driver=b', '--driver=bridge'],
  ['moor network create -o com.docker.network.d', 'com.docker.network.driver.mtu='],
  ['moor network create ', ''],
  ['moor -H unix:///x network rm n', 'none'],
  ['moor --js', '--json'],
  ['moor run --network my', 'my_net my_net2'],
  ['moor run --network=no', '--network=none'],
  ['moor run --log ', '<file>'],
  ['moor run --detach ', '<command 2>'],
  ['moor run --name a -- ', '<command 4>'],
  ['moor run -dh a -- pi', '<command 4>'],
  ['moor run ping -', '<command 1>'],
  ['moor exec ', 'web'],
  ['moor exec web ', '<command 2>'],
  ['moor exec web -- ip rou', '<command 3>'],
  ['moor exec -u ', ''],
  ['moor rm -f ', 'web'],
  ['moor ps -', '--host --json --format --no-trunc --quiet --help'],
  ['moor completion ', 'bash zsh fish'],
  ['moor help network r', 'rm'],
  ['moor nonsense ', ''],
];
for (const [line, words] of CASES) {
  it(line, async () => assert.equal(await offered(line), words));
}

it('undoes what bash does at = and :, and answers with what follows it', async () => {
  const api = {
    get: <T>() => Promise.resolve([{ Name: 'my_net', Driver: 'bridge' }] as T),
    post: () => Promise.reject(new Error('unused')),
    remove: () => Promise.reject(new Error('unused')),
    stream: () => {
      throw new Error('unused');
    },
  };
  const answer = (...words: readonly string[]) => answerCompletion(['bash', ...words], COMMANDS, () => api);
  assert.equal(await answer('run', '--network', '=', 'my'), 'words\nmy_net\tbridge\n');
  assert.equal(await answer('run', '--network', '='), 'words\nmy_net\tbridge\n');
  assert.equal(await answer('run', '--name', '=', 'a', '--', 'pi'), 'command 5\n');
  assert.equal(await answer('run', '-p', '8080', ':', '80', '--network', 'my'), 'words\nmy_net\tbridge\n');
  assert.equal(await answer('network', 'connect', '--ip6', 'fd00', '::', '5', 'my'), 'words\nmy_net\tbridge\n');
  assert.equal(await answer('network', 'create', '--driver', '=', 'br'), 'words\nbridge\t\n');
  // Counted as bash does, and what is broken behind the command does not move it.
  assert.equal(await answer('run', '-p', '80', ':', '80', '--', 'curl', 'http', ':', '//'), 'command 6\n');
  const silent = { ...api, get: () => Promise.reject(new Error('no daemon')) };
  assert.equal(await answerCompletion(['bash', 'run', '--network', ''], COMMANDS, () => silent), 'words\n');
});

it('asks the daemon that the words name', async () => {
  const asked: (string | undefined)[] = [];
  const connect = (host: string | undefined): never => {
    asked.push(host);
    throw new Error('no daemon');
  };
  for (const line of [
    '-H unix:///a network rm ',
    'network rm --host=unix:///b ',
    'network rm ',
    'network rm --host tcp://c:1 n',
  ]) {
    assert.equal(await answerCompletion(['zsh', ...line.split(' ')], COMMANDS, connect), 'words\n');
  }
  assert.deepEqual(asked, ['unix:///a', 'unix:///b', undefined, 'tcp://c:1']);
});
