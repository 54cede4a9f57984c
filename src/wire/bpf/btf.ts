/**
 * BTF, the kernel's type information (Documentation/bpf/btf.rst), as little of it as a map in sockets has to be made with: its key is a
 * 32-bit number, and its value some of them.
 */

/** `struct btf_header`: u16 magic, u8 version, u8 flags, u32 hdr_len, then offset and length of types and of names. */
const HEADER = 24;
const MAGIC = 0xeb9f;
/** `struct btf_type`: u32 name, u32 info (kind from bit 24 on), u32 size or type. */
const KIND_INT = 1;
const KIND_ARRAY = 3;
/** One empty name, as every table of names begins, and `u32`. */
const NAMES = '\0u32\0';
const BITS = 32;

/** Types by their number: 1 is `u32`, 2 is `u32[count]`. */
export const BTF_WORD = 1;
export const BTF_WORDS = 2;

export function btfOfWords(count: number): Uint8Array<ArrayBuffer> {
  const types = [
    // INT: encoding 0 (unsigned), offset 0, bits.
    [1, KIND_INT << 24, BITS / 8, BITS],
    // ARRAY: type of its elements, type of its index, how many.
    [0, KIND_ARRAY << 24, 0, BTF_WORD, BTF_WORD, count],
  ].flat();
  const length = types.length * 4;
  const bytes = new Uint8Array(new ArrayBuffer(HEADER + length + NAMES.length));
  const view = new DataView(bytes.buffer);
  view.setUint16(0, MAGIC, true);
  view.setUint8(2, 1);
  [HEADER, 0, length, length, NAMES.length].forEach((word, i) => view.setUint32(4 + 4 * i, word, true));
  types.forEach((word, i) => view.setUint32(HEADER + 4 * i, word, true));
  bytes.set(new TextEncoder().encode(NAMES), HEADER + length);
  return bytes;
}
