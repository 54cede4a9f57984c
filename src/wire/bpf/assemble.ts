/**
 * eBPF instructions as values, and their bytes: RFC 9669, the little-endian form (the machine's own, as the kernel takes it). Only what our
 * programs use. Who writes a program sees registers, sizes and labels; the kernel's verifier says whether it makes sense.
 */

export type Register = 'r0' | 'r1' | 'r2' | 'r3' | 'r4' | 'r5' | 'r6' | 'r7' | 'r8' | 'r9' | 'r10';
export type Size = 'u8' | 'u16' | 'u32' | 'u64';
/** A register that holds an address, and bytes from there. */
export type Place = readonly [base: Register, offset: number];

interface Plain {
  readonly code: number;
  readonly dst?: Register;
  readonly src?: Register | number;
  readonly offset?: number;
  /** 32 bits, signed or not. */
  readonly immediate?: number;
  /** Where it jumps to. */
  readonly to?: string;
}

/** One line of a program: an instruction, one of 16 bytes with a value of 64 bits, or the name of the next one's place. */
export type Line = Plain | (Plain & { readonly wide: bigint }) | { readonly label: string };

/** Instruction classes, RFC 9669 section 3. */
const CLASS = { LD: 0x00, LDX: 0x01, ST: 0x02, STX: 0x03, ALU: 0x04, JMP: 0x05, JMP32: 0x06, ALU64: 0x07 } as const;
/** The second operand: `imm`, or a register; sections 4 and 4.3. */
const K = 0x00;
const X = 0x08;
/** Section 5: mode MEM, and sizes. */
const MEM = 0x60;
const SIZES: Readonly<Record<Size, number>> = { u32: 0x00, u16: 0x08, u8: 0x10, u64: 0x18 };
/** Sections 4.1 and 4.3: operations. */
const ADD = 0x00;
const SUB = 0x10;
const MUL = 0x20;
const DIV = 0x30;
const OR = 0x40;
const AND = 0x50;
const RSH = 0x70;
const XOR = 0xa0;
const MOV = 0xb0;
/** Section 4.2: to big-endian. */
const END_TO_BE = 0xd0 | X;
/** Section 5.3: memory that others change as well. */
const ATOMIC = 0xc0;
const CALL = 0x80;
const EXIT = 0x90;
/** Greater and smaller are of numbers without a sign. */
const JUMPS = { always: 0x00, '==': 0x10, '>': 0x20, '!=': 0x50, '<=': 0xb0 } as const;
export type Condition = readonly [a: Register, how: Exclude<keyof typeof JUMPS, 'always'>, b: Register | number];
/** Section 5.4: a 64-bit immediate; with this source it is a map, given by its descriptor. */
const IMM_DW = 0x18;
const MAP_BY_FD = 1;

const operand = (operation: number, dst: Register, by: Register | number): Plain =>
  typeof by === 'number' ? { code: operation | K, dst, immediate: by } : { code: operation | X, dst, src: by };

export const label = (name: string): Line => ({ label: name });
export const move = (dst: Register, value: Register | number): Line => operand(MOV | CLASS.ALU64, dst, value);
export const add = (dst: Register, value: Register | number): Line => operand(ADD | CLASS.ALU64, dst, value);
export const subtract = (dst: Register, value: Register | number): Line => operand(SUB | CLASS.ALU64, dst, value);
export const multiply = (dst: Register, value: Register | number): Line => operand(MUL | CLASS.ALU64, dst, value);
/** Without signs. By 0 it is 0. */
export const divide = (dst: Register, value: Register | number): Line => operand(DIV | CLASS.ALU64, dst, value);
export const shiftRight = (dst: Register, bits: number): Line => operand(RSH | CLASS.ALU64, dst, bits);
export const xor = (dst: Register, value: Register | number): Line => operand(XOR | CLASS.ALU64, dst, value);
/** The lower 16 bits, from the machine's order to the network's or back; the others become 0. */
export const swap16 = (dst: Register): Line => ({ code: END_TO_BE | CLASS.ALU, dst, immediate: 16 });
export const and = (dst: Register, value: Register | number): Line => operand(AND | CLASS.ALU64, dst, value);
export const or = (dst: Register, value: Register | number): Line => operand(OR | CLASS.ALU64, dst, value);
export const load = (size: Size, dst: Register, [src, offset]: Place): Line => ({
  code: MEM | SIZES[size] | CLASS.LDX,
  dst,
  src,
  offset,
});
export const store = (size: Size, [dst, offset]: Place, value: Register | number): Line =>
  typeof value === 'number'
    ? { code: MEM | SIZES[size] | CLASS.ST, dst, offset, immediate: value }
    : { code: MEM | SIZES[size] | CLASS.STX, dst, src: value, offset };
/** Adds to 64 bits that other processors add to, too. */
export const atomicAdd = ([dst, offset]: Place, src: Register): Line => ({
  code: ATOMIC | SIZES.u64 | CLASS.STX,
  dst,
  src,
  offset,
  immediate: ADD,
});
export const jump = (to: string): Line => ({ code: JUMPS.always | CLASS.JMP, to });
/** Compares all 64 bits; a number is extended with its sign. */
export const jumpIf = ([a, how, b]: Condition, to: string): Line => ({
  ...operand(JUMPS[how] | CLASS.JMP, a, b),
  to,
});
/** Compares the lower 32 bits. */
export const jumpIf32 = ([a, how, b]: Condition, to: string): Line => ({
  ...operand(JUMPS[how] | CLASS.JMP32, a, b),
  to,
});
/** @param helper a number of <linux/bpf.h>; arguments are r1 to r5, which are lost; the result is r0 */
export const call = (helper: number): Line => ({ code: CALL | CLASS.JMP, immediate: helper });
export const exit = (): Line => ({ code: EXIT | CLASS.JMP });
export const loadWide = (dst: Register, value: bigint): Line => ({ code: IMM_DW, dst, wide: value });
export const loadMap = (dst: Register, fd: number): Line => ({ code: IMM_DW, dst, src: MAP_BY_FD, wide: BigInt(fd) });

/** Bytes of an instruction. */
const SLOT = 8;

/**
 * The bytes of a program, which must lie in memory of its own: the kernel is given its address.
 * @throws a label that is there twice or not at all, a jump too far: mistakes of whoever wrote the program
 */
export function assemble(lines: readonly Line[]): Uint8Array<ArrayBuffer> {
  const labels = new Map<string, number>();
  let slots = 0;
  for (const line of lines) {
    if (!('label' in line)) slots += 'wide' in line ? 2 : 1;
    else if (labels.has(line.label)) throw new RangeError(`label ${line.label} is there twice`);
    else labels.set(line.label, slots);
  }
  const view = new DataView(new ArrayBuffer(slots * SLOT));
  let at = 0;
  for (const line of lines) {
    if ('label' in line) continue;
    const base = at * SLOT;
    view.setUint8(base, line.code);
    view.setUint8(base + 1, (number(line.src) << 4) | number(line.dst));
    view.setInt16(base + 2, line.to === undefined ? (line.offset ?? 0) : distance(labels, line.to, at), true);
    view.setInt32(base + 4, line.immediate ?? 0, true);
    if ('wide' in line) {
      view.setUint32(base + 4, Number(BigInt.asUintN(32, line.wide)), true);
      view.setUint32(base + SLOT + 4, Number(BigInt.asUintN(32, line.wide >> 32n)), true);
      at++;
    }
    at++;
  }
  return new Uint8Array(view.buffer);
}

const number = (register: Register | number | undefined): number =>
  typeof register === 'string' ? Number(register.slice(1)) : (register ?? 0);

/** In slots, from the instruction after the jump. */
function distance(labels: ReadonlyMap<string, number>, to: string, from: number): number {
  const target = labels.get(to);
  if (target === undefined) throw new RangeError(`label ${to} is not there`);
  const slots = target - from - 1;
  if (slots > 0x7fff || slots < -0x8000) throw new RangeError(`label ${to} is too far away`);
  return slots;
}
