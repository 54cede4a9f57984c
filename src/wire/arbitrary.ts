/** For tests: random values of any codec, made from its table. */
import fc from 'fast-check';
import { formatIp } from '../base/ip.ts';
import { type Codec, flag, ip, lladdr, raw, type Scalar, text } from './codec.ts';
import type { Struct } from './struct.ts';
import type { AttributeTable, ChoiceCodec, MessageCodec } from './attributes.ts';
import { via } from './netlink/route.ts';

const address = fc.oneof(
  fc.bigInt({ min: 0n, max: (1n << 32n) - 1n }).map((value) => formatIp(4, value)),
  fc.bigInt({ min: 0n, max: (1n << 128n) - 1n }).map((value) => formatIp(6, value)),
);

const LEAVES = new Map<Codec<unknown>, fc.Arbitrary<unknown>>([
  [text, fc.string({ unit: 'binary', maxLength: 40 }).filter((value) => !value.includes('\0'))],
  [ip, address],
  [via, address],
  [
    lladdr,
    fc.uint8Array({ maxLength: 20 }).map((bytes) => Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join(':')),
  ],
  [flag, fc.constant(true)],
  [raw, fc.uint8Array({ maxLength: 40 }).map((bytes) => Uint8Array.from(bytes))],
]);

/** @throws RangeError for a codec that it does not know: a new kind of leaf needs a line above */
export function arbitraryOf(codec: Codec<unknown>): fc.Arbitrary<unknown> {
  const leaf = LEAVES.get(codec);
  if (leaf) return leaf;
  if (isScalar(codec)) return fc.integer({ min: codec.min, max: codec.max });
  if (isStruct(codec)) return structOf(codec);
  if (isShape<AttributeTable<unknown>>(codec, 'table')) return tableOf(codec);
  if (isShape<MessageCodec<string, unknown>>(codec, 'message')) {
    return fc.record({ header: structOf(codec.struct), attributes: tableOf(codec.table) });
  }
  if (isList(codec)) return fc.array(arbitraryOf(codec.one), { maxLength: 3 });
  throw new RangeError(`no arbitrary for ${codec.name}`);
}

const structOf = (codec: Struct<string>): fc.Arbitrary<unknown> =>
  fc.record(Object.fromEntries(codec.fields.map(({ key, type }) => [key, fc.integer({ min: type.min, max: type.max })])));

function tableOf(table: AttributeTable<unknown>): fc.Arbitrary<unknown> {
  const model: Record<string, fc.Arbitrary<unknown>> = {};
  const choices: { readonly key: string; readonly codec: ChoiceCodec<unknown> }[] = [];
  for (const { key, codec } of table.entries) {
    if (isShape<ChoiceCodec<unknown>>(codec, 'choice')) choices.push({ key, codec });
    else model[key] = arbitraryOf(codec);
  }
  let whole: fc.Arbitrary<Record<string, unknown>> = fc.record(model, { requiredKeys: [] });
  // What a choice holds must be what its sibling says.
  for (const { key, codec } of choices) {
    const options = Object.entries(codec.options).map(([type, option]) =>
      arbitraryOf(option).map((value) => ({ [codec.sibling]: type, [key]: { type, value } })),
    );
    const other = fc
      .uint8Array({ maxLength: 12 })
      .map((bytes) => ({ [codec.sibling]: 'other', [key]: { type: '', value: Uint8Array.from(bytes) } }));
    whole = fc.tuple(whole, fc.oneof(...options, other)).map(([value, more]) => ({ ...value, ...more }));
  }
  const unknown = fc.array(
    fc.record({
      // Types that no table here uses; with and without NLA_F_NESTED.
      type: fc.integer({ min: 0x1000, max: 0x2fff }).chain((type) => fc.constantFrom(type, type | 0x8000)),
      bytes: fc.uint8Array({ maxLength: 9 }).map((bytes) => Uint8Array.from(bytes)),
    }),
    { minLength: 1, maxLength: 3 },
  );
  return fc.tuple(whole, fc.option(unknown)).map(([value, more]) => (more ? { ...value, unknown: more } : value));
}

const isScalar = (codec: Codec<unknown>): codec is Scalar => 'min' in codec && 'max' in codec;
const isStruct = (codec: Codec<unknown>): codec is Struct<string> => 'fields' in codec;
const isShape = <S extends Codec<unknown>>(codec: Codec<unknown>, shape: string): codec is S =>
  'shape' in codec && codec.shape === shape;
const isList = (codec: Codec<unknown>): codec is Codec<unknown> & { readonly one: Codec<unknown> } => 'one' in codec;
