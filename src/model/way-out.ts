/** The way out that sandboxes get whose networks have none (engine/gateway-network.ts): its names, Docker's with another prefix. */
import { type Id, shortId } from '../base/ids.ts';
import type { Endpoint, Sandbox } from './sandbox.ts';

/** The network, and its device: 13 of the 15 bytes that a device's name may have. */
export const GATEWAY_NETWORK = 'moor_gwbridge';

/** What an endpoint on it is called, as Docker's on docker_gwbridge. */
export const gatewayEndpointName = (sandbox: Id): string => `gateway_${shortId(sandbox)}`;

/** Endpoints that somebody asked for: what a sandbox shows as its networks. */
export const askedFor = ({ endpoints }: Pick<Sandbox, 'endpoints'>): readonly Endpoint[] =>
  endpoints.filter(({ automatic }) => automatic !== true);
