/** Bodies of our own API as JSON Schema. Shape only: what a value means is checked by the engine. */
import type { Schema } from './schema.ts';

const text = { type: 'string' } as const satisfies Schema;
const flag = { type: 'boolean' } as const satisfies Schema;
const textMap = { type: 'object', additionalProperties: text } as const satisfies Schema;
const texts = { type: 'array', items: text } as const satisfies Schema;

const object = (properties: Readonly<Record<string, Schema>>, required: readonly string[] = []) =>
  ({ type: 'object', properties, required, additionalProperties: false }) as const satisfies Schema;

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
  links: texts,
  gatewayPriority: { type: 'integer' },
  interfaceName: text,
  options: textMap,
});

/** SandboxSpec */
/** ProcessRef */
export const processBody = object(
  { pid: { type: 'integer', minimum: 1 }, startTime: { type: 'string', pattern: '^[0-9]+$' }, command: texts },
  ['pid', 'startTime', 'command'],
);

export const sandboxBody = object({
  name: text,
  hostname: text,
  labels: textMap,
  adopt: { ...object({ path: text, pid: { type: 'integer', minimum: 1 } }), minProperties: 1, maxProperties: 1 },
  networks: { type: 'array', items: object({ network: text, endpoint }, ['network']) },
  autoRemove: flag,
  creator: processBody,
  /** As `-p` takes them. */
  ports: texts,
});

export const portsBody = object({ ports: texts }, ['ports']);

export const connectBody = object({ sandbox: text, endpoint }, ['sandbox']);
export const disconnectBody = object({ sandbox: text, force: flag }, ['sandbox']);
