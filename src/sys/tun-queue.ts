/** A TUN device as a packet queue with segmentation offloads: one read brings up to 64 KB, one write may hand over as much. <linux/if_tun.h> */
import { fcntlH, ifTunH } from './constants.ts';
import type { Fd } from './fd.ts';
import { check, libc } from './libc.ts';
import { attachTun, setQueueLength } from './tun.ts';

/** <linux/udp.h> */
export const udpH = { SOL_UDP: 17, UDP_NO_CHECK6_RX: 102, UDP_SEGMENT: 103, UDP_GRO: 104 } as const;

/** <linux/if_tun.h>: what the reader of a queue can take. */
const OFFLOAD = { csum: 1, tso4: 2, tso6: 4, tsoEcn: 8, uso4: 0x20, uso6: 0x40 } as const;
const TCP_OFFLOADS = OFFLOAD.csum | OFFLOAD.tso4 | OFFLOAD.tso6 | OFFLOAD.tsoEcn;

/**
 * Packets that wait for the reader: 500 would be the kernel's own choice, which a flood of small packets fills in the 2.5 ms that a scheduler lets another program go
 * first. These are 10 ms of 200,000 packets a second; a flow that minds its queue never has so many on their way.
 */
const QUEUE = 2000;

export interface TunQueue {
  readonly fd: Fd;
  /** The kernel takes and gives UDP segments too (Linux 6.2). */
  readonly udpSegments: boolean;
}

/**
 * Attaches to a TUN device in the calling thread's namespace, making it when it is not there. Each packet has a `struct virtio_net_hdr` of 10
 * bytes in front. Reads do not wait.
 * @param udpSegments false: not even if the kernel could
 * @throws conflict (EBUSY) when somebody has it open
 */
export function openTunQueue(name: string, { udpSegments: wanted = true } = {}): TunQueue {
  const fd = attachTun(name, ifTunH.IFF_TUN | ifTunH.IFF_NO_PI | ifTunH.IFF_VNET_HDR, `open TUN device ${name}`);
  try {
    const all = TCP_OFFLOADS | OFFLOAD.uso4 | OFFLOAD.uso6;
    const udpSegments = wanted && libc.ioctlNumber(fd.number, ifTunH.TUNSETOFFLOAD, all) >= 0;
    if (!udpSegments)
      check(libc.ioctlNumber(fd.number, ifTunH.TUNSETOFFLOAD, TCP_OFFLOADS), `set offloads of TUN device ${name}`);
    setQueueLength(name, QUEUE);
    const flags = check(libc.fcntl(fd.number, fcntlH.F_GETFL, 0), `fcntl ${name}`);
    check(libc.fcntl(fd.number, fcntlH.F_SETFL, flags | fcntlH.O_NONBLOCK), `fcntl ${name}`);
    return { fd, udpSegments };
  } catch (error) {
    fd.close();
    throw error;
  }
}
