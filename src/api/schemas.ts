/** Bodies of our own API as JSON Schema. Shape only: what a value means is checked by the engine. */

const text = { type: 'string' } as const;
const flag = { type: 'boolean' } as const;
const textMap = { type: 'object', additionalProperties: text } as const;
const texts = { type: 'array', items: text } as const;

/** An object with these fields and no others: a misspelt option must not be taken for none. */
const object = <P extends Readonly<Record<string, unknown>>>(properties: P, required: readonly (keyof P & string)[] = []) =>
  ({ type: 'object', properties, required, additionalProperties: false }) as const;

const poolRequest = object({ subnet: text, range: text, gateway: text, auxiliary: textMap });

/** NetworkSpec */
export const networkBody = object(
  {
    name: text,
    driver: text,
    scope: text,
    ipv4: flag,
    ipv6: flag,
    internal: flag,
    attachable: flag,
    options: textMap,
    labels: textMap,
    ipamDriver: text,
    ipamOptions: textMap,
    pools: { type: 'array', items: poolRequest },
  },
  ['name'],
);

/** EndpointSpec */
const endpoint = object({
  ipv4: text,
  ipv6: text,
  mac: text,
  aliases: texts,
  gatewayPriority: { type: 'integer' },
  interfaceName: text,
  options: textMap,
});

/** SandboxSpec */
export const sandboxBody = object({
  name: text,
  hostname: text,
  labels: textMap,
  adopt: {
    type: 'object',
    properties: { path: text, pid: { type: 'integer', minimum: 1 } },
    additionalProperties: false,
    minProperties: 1,
    maxProperties: 1,
  },
  networks: { type: 'array', items: object({ network: text, endpoint }, ['network']) },
  autoRemove: flag,
});

/** ProcessRef */
export const processBody = object(
  { pid: { type: 'integer', minimum: 1 }, startTime: { type: 'string', pattern: '^[0-9]+$' }, command: texts },
  ['pid', 'startTime', 'command'],
);

export const connectBody = object({ sandbox: text, endpoint }, ['sandbox']);
export const disconnectBody = object({ sandbox: text, force: flag }, ['sandbox']);
