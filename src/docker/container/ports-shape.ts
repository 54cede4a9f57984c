/** Published ports in Docker's JSON, a port at a time: `docker ps` and `docker port` join neighbours themselves. */
import type { PortBinding } from '../../model/ports.ts';

/** One row of `Ports` in a list of containers. */
export interface PortRow {
  readonly IP?: string;
  readonly PrivatePort: number;
  readonly PublicPort?: number;
  readonly Type: string;
}

interface Pair {
  /** `80/tcp` */
  readonly key: string;
  readonly address: string;
  /** null: no port of the host leads there. */
  readonly host: number | null;
  readonly container: number;
  readonly protocol: string;
}

const pairs = (ports: readonly PortBinding[]): Pair[] =>
  ports.flatMap(({ protocol, hostAddress, hostPorts, containerPorts, routed }) =>
    Array.from({ length: containerPorts.to - containerPorts.from + 1 }, (_, i) => ({
      key: `${containerPorts.from + i}/${protocol}`,
      address: hostAddress,
      host: routed === true ? null : hostPorts.from + i,
      container: containerPorts.from + i,
      protocol,
    })),
  );

/** @param exposed `80/tcp`; those that are published too are not listed twice */
export function portList(exposed: readonly string[], ports: readonly PortBinding[] = []): readonly PortRow[] {
  const published = pairs(ports);
  const keys = new Set(published.map(({ key }) => key));
  return [
    ...exposed
      .filter((key) => !keys.has(key))
      .map((key) => {
        const [number = '', protocol = 'tcp'] = key.split('/');
        return { PrivatePort: Number(number), Type: protocol };
      }),
    ...published.map(({ address, container, host, protocol }) => ({
      IP: address,
      PrivatePort: container,
      ...(host === null ? {} : { PublicPort: host }),
      Type: protocol,
    })),
  ];
}

/** `NetworkSettings.Ports`: null for what is exposed and not published. */
export function portsShape(
  exposed: readonly string[],
  ports: readonly PortBinding[] = [],
): Readonly<Record<string, readonly { readonly HostIp: string; readonly HostPort: string }[] | null>> {
  const shape: Record<string, { HostIp: string; HostPort: string }[] | null> = Object.fromEntries(
    exposed.map((key) => [key, null]),
  );
  for (const { key, address, host } of pairs(ports))
    (shape[key] ??= []).push({ HostIp: address, HostPort: host === null ? '' : String(host) });
  return shape;
}
