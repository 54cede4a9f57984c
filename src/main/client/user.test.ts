import assert from 'node:assert/strict';
import { it } from 'node:test';
import { asUser, findUser } from './user.ts';

const FILES = {
  passwd: 'root:x:0:0:root:/root:/bin/bash\nalice:x:1000:1001:Alice,,,:/home/alice:/bin/sh\n',
  group: 'root:x:0:\nstaff:x:50:alice\nalice:x:1001:\n',
};

it('finds users by name and number', () => {
  assert.deepEqual(findUser('alice', FILES), { uid: 1000, gid: 1001, name: 'alice', home: '/home/alice' });
  assert.deepEqual(findUser('1000', FILES), { uid: 1000, gid: 1001, name: 'alice', home: '/home/alice' });
  assert.deepEqual(findUser('alice:staff', FILES), { uid: 1000, gid: 50, name: null, home: '/home/alice' });
  assert.deepEqual(findUser('4000:4001', FILES), { uid: 4000, gid: 4001, name: null, home: '/' });
  assert.deepEqual(findUser('4000', FILES), { uid: 4000, gid: 0, name: null, home: '/' });
  assert.throws(() => findUser('bob', FILES), {
    kind: 'invalid',
    message: 'unable to find user bob: no matching entries in passwd file',
  });
  assert.throws(() => findUser('alice:crew', FILES), { message: 'unable to find group crew: no matching entries in group file' });
});

it('keeps the groups of an account only when none was named', () => {
  assert.deepEqual(asUser({ uid: 1000, gid: 1001, name: 'alice', home: '/' }, ['id']), [
    'setpriv',
    '--reuid=alice',
    '--regid=1001',
    '--init-groups',
    '--',
    'id',
  ]);
  assert.deepEqual(asUser({ uid: 5, gid: 6, name: null, home: '/' }, ['id']), [
    'setpriv',
    '--reuid=5',
    '--regid=6',
    '--clear-groups',
    '--',
    'id',
  ]);
});
