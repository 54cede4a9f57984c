/** JSON of our own API: a bigint is a decimal string, as sizes of IPv6 pools do not fit a number. */
export const toJson = (value: unknown): string =>
  JSON.stringify(value, (_, field: unknown) => (typeof field === 'bigint' ? field.toString() : field));
