import assert from 'node:assert/strict';
import { test } from 'node:test';
import { cgroupRoots } from './cgroup.ts';

test('the whole tree where it is mounted, not a part of it, nor version 1', () => {
  const text = [
    '31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755',
    '32 31 0:29 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu',
    '41 31 0:38 / /sys/fs/cgroup/unified rw,relatime shared:9 - cgroup2 cgroup2 rw',
    '50 31 0:38 /system.slice /mnt/part rw,relatime - cgroup2 cgroup2 rw',
    '51 31 0:38 /.. /mnt/outside rw,relatime - cgroup2 cgroup2 rw',
    String.raw`52 31 0:38 / /mnt/with\040space rw,relatime - cgroup2 cgroup2 rw`,
    '',
  ].join('\n');
  assert.deepEqual(cgroupRoots(text), ['/sys/fs/cgroup/unified', '/mnt/with space']);
});
