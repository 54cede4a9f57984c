/** What every implementation of `HostPorts` must do, the fake and the kernel thread's. */
import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { type IpAddress, parseIp } from '../../src/base/ip.ts';
import type { HostPort, HostPorts, PortHolder } from '../../src/contracts/host-ports.ts';
import type { PortProtocol } from '../../src/model/ports.ts';

export interface HostPortsUnderTest extends AsyncDisposable {
  readonly hostPorts: HostPorts;
  /** A program of the host takes a port. @returns who it is, and how it ends */
  readonly occupy: (
    protocol: PortProtocol,
    address: IpAddress,
    port: number,
  ) => Promise<{ readonly holder: PortHolder; readonly end: () => Promise<void> }>;
  /** Whether a program could take it now. */
  readonly isFree: (protocol: PortProtocol, address: IpAddress, port: number) => Promise<boolean>;
}

const [ANY4, ANY6, LO4] = [parseIp('0.0.0.0'), parseIp('::'), parseIp('127.0.0.1')];
const ports = (protocol: PortProtocol, address: IpAddress, [from, to]: readonly [number, number]): HostPort => ({
  protocol,
  address,
  ports: { from, to },
});
const port = (protocol: PortProtocol, address: IpAddress, number: number): HostPort => ports(protocol, address, [number, number]);

export function hostPortsConformance(name: string, open: () => Promise<HostPortsUnderTest>): void {
  suite(`ports of the host, ${name}`, () => {
    test('are held by protocol, family and address, and free again when they are released', async () => {
      await using it = await open();
      const held = [port('tcp', ANY4, 8080), port('tcp', ANY6, 8081), port('udp', LO4, 53)];
      assert.equal(await it.hostPorts.hold(held), null);
      assert.equal(await it.isFree('tcp', LO4, 8080), false);
      assert.equal(await it.isFree('udp', LO4, 8080), true);
      assert.equal(await it.isFree('tcp', LO4, 8081), true);
      assert.equal(await it.isFree('udp', LO4, 53), false);
      await it.hostPorts.release([...held, port('tcp', ANY4, 9999)]);
      assert.equal(await it.isFree('tcp', LO4, 8080), true);
      assert.equal(await it.isFree('udp', LO4, 53), true);
    });

    test('a part of a range is released alone', async () => {
      await using it = await open();
      await it.hostPorts.hold([ports('tcp', ANY4, [7000, 7009])]);
      await it.hostPorts.release([ports('tcp', ANY4, [7003, 7004])]);
      assert.equal(await it.isFree('tcp', LO4, 7003), true);
      assert.equal(await it.isFree('tcp', LO4, 7005), false);
    });

    test('what is held may be asked for again, beside more', async () => {
      await using it = await open();
      await it.hostPorts.hold([port('tcp', ANY4, 8080)]);
      assert.equal(await it.hostPorts.hold([port('tcp', ANY4, 8080), port('tcp', ANY4, 8081)]), null);
      assert.equal(await it.isFree('tcp', LO4, 8081), false);
    });

    test('one that a program has is refused with all others, and the program is named', async () => {
      await using it = await open();
      const { holder, end } = await it.occupy('tcp', LO4, 8002);
      const refusal = await it.hostPorts.hold([port('udp', ANY4, 8000), ports('tcp', ANY4, [8000, 8004])]);
      assert.deepEqual(refusal, { protocol: 'tcp', address: ANY4, port: 8002, reason: 'in-use' });
      assert.deepEqual(await it.hostPorts.holder(refusal), holder);
      assert.equal(await it.isFree('udp', LO4, 8000), true);
      assert.equal(await it.isFree('tcp', LO4, 8001), true);
      await end();
      assert.equal(await it.hostPorts.hold([ports('tcp', ANY4, [8000, 8004])]), null);
      assert.equal(await it.hostPorts.holder(refusal), null);
    });

    test('where free ones are looked for is a range of ports', async () => {
      await using it = await open();
      const { range } = await it.hostPorts.automatic();
      assert.ok(range.from > 0 && range.from <= range.to && range.to <= 65_535);
    });
  });
}
