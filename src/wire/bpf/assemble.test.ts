import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import {
  add,
  and,
  assemble,
  atomicAdd,
  call,
  divide,
  exit,
  jump,
  jumpIf,
  jumpIf32,
  label,
  type Line,
  load,
  loadMap,
  loadWide,
  move,
  multiply,
  or,
  shiftRight,
  store,
  subtract,
  swap16,
  xor,
} from './assemble.ts';

const hex = (bytes: Uint8Array): string => bytes.toHex();

/** Each beside what LLVM's assembler calls it, in its own words: an authority on encoding that is not ours. */
const LINES: readonly (readonly [line: Line, text: string])[] = [
  [move('r6', 'r1'), 'r6 = r1'],
  [move('r0', 1), 'r0 = 1'],
  [move('r3', -1), 'r3 = -1'],
  [add('r2', -12), 'r2 += -12'],
  [add('r2', 'r9'), 'r2 += r9'],
  [and('r1', 255), 'r1 &= 255'],
  [or('r1', 'r2'), 'r1 |= r2'],
  [subtract('r1', 28), 'r1 -= 28'],
  [subtract('r8', 'r1'), 'r8 -= r1'],
  [multiply('r1', 4), 'r1 *= 4'],
  [divide('r1', 'r2'), 'r1 /= r2'],
  [shiftRight('r3', 16), 'r3 >>= 16'],
  [xor('r3', 0xffff), 'r3 ^= 65535'],
  [swap16('r1'), 'r1 = be16 r1'],
  [atomicAdd(['r7', 8], 'r1'), 'lock *(u64 *)(r7 + 8) += r1'],
  [load('u8', 'r1', ['r6', 3]), 'r1 = *(u8 *)(r6 + 3)'],
  [load('u16', 'r2', ['r7', 16]), 'r2 = *(u16 *)(r7 + 16)'],
  [load('u32', 'r7', ['r6', 4]), 'r7 = *(u32 *)(r6 + 4)'],
  [load('u64', 'r8', ['r6', 64]), 'r8 = *(u64 *)(r6 + 64)'],
  [store('u16', ['r10', -4], 'r9'), '*(u16 *)(r10 - 4) = r9'],
  [store('u32', ['r0', 36], 'r2'), '*(u32 *)(r0 + 36) = r2'],
  [store('u64', ['r10', -8], 'r1'), '*(u64 *)(r10 - 8) = r1'],
  [call(1), 'call 1'],
  [exit(), 'exit'],
  [loadWide('r1', 0x1234_5678_9abc_def0n), 'r1 = 1311768467463790320 ll'],
  [loadWide('r1', 0xffff_ffff_ffff_ffffn), 'r1 = -1 ll'],
];

const LLVM = spawnSync('llvm-mc', ['--version'], { encoding: 'utf8' });
const NO_LLVM = (LLVM.stdout ?? '').includes('bpfel') ? false : 'this machine has no llvm-mc for BPF (package llvm)';

/** What LLVM makes of lines. */
function encoded(text: string): string {
  const { stdout, stderr, status } = spawnSync('llvm-mc', ['-triple', 'bpfel', '-mcpu=v3', '-show-encoding'], {
    input: text,
    encoding: 'utf8',
  });
  assert.equal(status, 0, stderr);
  return [...stdout.matchAll(/encoding: \[([^\]]+)\]/g)].map(([, list = '']) => list.replaceAll(/0x|,/g, '')).join('');
}

test('instructions are as LLVM writes them', { skip: NO_LLVM }, () => {
  for (const [line, text] of LINES) assert.equal(hex(assemble([line])), encoded(text), text);
});

test('jumps go to their labels, forwards and backwards, over instructions of 16 bytes', { skip: NO_LLVM }, () => {
  const ours = assemble([
    label('begin'),
    jumpIf(['r0', '==', 0], 'out'),
    loadWide('r1', 7n),
    jumpIf32(['r1', '!=', 'r2'], 'begin'),
    jumpIf32(['r1', '==', -65536], 'out'),
    jumpIf(['r0', '!=', 'r1'], 'out'),
    jumpIf(['r8', '>', 65507], 'out'),
    jumpIf(['r1', '<=', 'r0'], 'out'),
    jump('begin'),
    label('out'),
    exit(),
  ]);
  const theirs = encoded(
    [
      'if r0 == 0 goto +8',
      'r1 = 7 ll',
      'if w1 != w2 goto -4',
      'if w1 == -65536 goto +4',
      'if r0 != r1 goto +3',
      'if r8 > 65507 goto +2',
      'if r1 <= r0 goto +1',
      'goto -9',
      'exit',
    ].join('\n'),
  );
  assert.equal(hex(ours), theirs);
});

test('what LLVM 14 has no words for: stores of numbers, maps', () => {
  // RFC 9669 section 5.2: BPF_MEM | BPF_W | BPF_ST is 0x62; section 5.4.1: a map by its descriptor has source register 1.
  assert.equal(hex(assemble([store('u32', ['r10', -12], 48)])), '620af4ff30000000');
  assert.equal(hex(assemble([loadMap('r1', 21)])), '18110000150000000000000000000000');
});

test('a program that nobody could have meant is refused', () => {
  assert.throws(() => assemble([jump('nowhere')]), /label nowhere is not there/);
  assert.throws(() => assemble([label('a'), exit(), label('a')]), /label a is there twice/);
  assert.throws(() => assemble([jump('far'), ...Array<Line>(0x8001).fill(exit()), label('far')]), /label far is too far away/);
});
