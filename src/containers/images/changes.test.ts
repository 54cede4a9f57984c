import assert from 'node:assert/strict';
import { test } from 'node:test';
import { applyChanges, emptySettings, type ImageSettings } from './changes.ts';

const after = (...changes: readonly string[]): Partial<ImageSettings> => {
  const empty = emptySettings();
  const result = applyChanges(empty, changes);
  const same = (key: string): boolean =>
    JSON.stringify(result[key as keyof ImageSettings]) === JSON.stringify(empty[key as keyof ImageSettings]);
  return Object.fromEntries(Object.entries(result).filter(([key]) => !same(key)));
};

test('each word sets its part, in shell and in JSON form', () => {
  const table: readonly (readonly [changes: readonly string[], result: Partial<ImageSettings>])[] = [
    [['CMD echo "a b"'], { Cmd: ['/bin/sh', '-c', 'echo "a b"'] }],
    [['cmd ["echo", "a b"]'], { Cmd: ['echo', 'a b'] }],
    [['CMD ["echo", 1]'], { Cmd: ['/bin/sh', '-c', '["echo", 1]'] }],
    [['ENTRYPOINT ["/init"]'], { Entrypoint: ['/init'] }],
    [['ENTRYPOINT exec top'], { Entrypoint: ['/bin/sh', '-c', 'exec top'] }],
    [['ENV A=1 B="two words" C=x\\ y'], { Env: ['A=1', 'B=two words', 'C=x y'] }],
    [['ENV A one two'], { Env: ['A=one two'] }],
    [['ENV A=1', 'ENV A=2'], { Env: ['A=2'] }],
    [['USER 1000:100'], { User: '1000:100' }],
    [['WORKDIR /srv', 'WORKDIR sub/../app'], { WorkingDir: '/srv/app' }],
    [['EXPOSE 80 53/udp 8000-8001/TCP'], { ExposedPorts: { '80/tcp': {}, '53/udp': {}, '8000/tcp': {}, '8001/tcp': {} } }],
    [['LABEL a=1 "b c"=\'d e\'', 'LABEL f='], { Labels: { a: '1', 'b c': 'd e', f: '' } }],
    [['VOLUME /a /b', 'VOLUME ["/c d"]'], { Volumes: { '/a': {}, '/b': {}, '/c d': {} } }],
    [['ONBUILD RUN make', 'ONBUILD COPY . /'], { OnBuild: ['RUN make', 'COPY . /'] }],
    [['STOPSIGNAL SIGQUIT'], { StopSignal: 'SIGQUIT' }],
    [['HEALTHCHECK NONE'], { Healthcheck: { Test: ['NONE'] } }],
    [
      ['HEALTHCHECK --interval=1m30s --timeout=500ms --retries=3 CMD curl -f http://localhost/'],
      { Healthcheck: { Interval: 90e9, Timeout: 5e8, Retries: 3, Test: ['CMD-SHELL', 'curl -f http://localhost/'] } },
    ],
    [['HEALTHCHECK CMD ["true"]'], { Healthcheck: { Test: ['CMD', 'true'] } }],
    [['# a comment', '', 'USER a\nWORKDIR /x'], { User: 'a', WorkingDir: '/x' }],
  ];
  for (const [changes, result] of table) assert.deepEqual(after(...changes), result, changes.join(' | '));
});

test('what is wrong is said, and the settings given stay as they are', () => {
  const table: readonly (readonly [change: string, message: RegExp])[] = [
    ['FROM x', /^from is not a valid change command$/],
    ['constructor x', /not a valid change command/],
    ['toString x', /not a valid change command/],
    ['CMD', /requires at least one argument/],
    ['USER a b', /exactly one argument/],
    ['ENV A=1 B', /can't find = in "B"/],
    ['ENV =x', /can not be blank/],
    ['LABEL a="b', /looking for matching double-quote/],
    ['EXPOSE 70000', /Invalid containerPort: 70000/],
    ['EXPOSE 90-80', /Invalid containerPort/],
    ['EXPOSE 80/xyz', /Invalid containerPort/],
    ['ONBUILD FROM x', /isn't allowed/],
    ['STOPSIGNAL a b', /exactly one/],
    ['STOPSIGNAL !', /Invalid signal/],
    ['HEALTHCHECK RUN x', /Unknown type "RUN"/],
    ['HEALTHCHECK --interval=abc CMD x', /must be a duration/],
    ['HEALTHCHECK --interval=1us CMD x', /less than 1ms/],
    ['HEALTHCHECK --nope=1 CMD x', /Unknown flag: nope/],
    ['VOLUME [""]', /empty string/],
  ];
  const settings = emptySettings();
  for (const [change, message] of table)
    assert.throws(() => applyChanges(settings, [change]), { kind: 'invalid', message }, change);
  assert.deepEqual(settings, emptySettings());
});
