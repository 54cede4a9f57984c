/** What an administrator can do about a rule that blocks, in the words of the tool whose rule it is. */
import type { PortProtocol } from '../model/ports.ts';
import type { Decider } from './decider.ts';
import type { Owner } from './owner.ts';

export interface Blocked {
  readonly owner: Owner;
  readonly by: Decider;
  readonly hook: string;
  readonly protocol: PortProtocol;
  /** Of the sandbox, `80` or `8000:8009`: firewalls see the packet after translation. */
  readonly port: string;
  /** As nft prints it: `meta mark & 0x00001000 == 0x00001000`. */
  readonly marked: string;
}

/** @returns '' when it is as it is meant to be, or nothing sensible can be said */
export function remedyOf({ owner, by, hook, protocol, port, marked }: Blocked): string {
  if (owner === 'Moorline') return '';
  if (hook !== 'forward') return `see chain ${by.chain} of table ${by.family} ${by.table}: it drops before packets are forwarded`;
  switch (owner) {
    case 'ufw':
      // To any address: that of a sandbox changes with its next start. What is not published stays closed all the same.
      return `ufw route allow proto ${protocol} from any to any port ${port}`;
    case 'firewalld':
      return [
        '--permanent --new-policy moor',
        '--permanent --policy moor --add-ingress-zone ANY',
        '--permanent --policy moor --add-egress-zone ANY',
        `--permanent --policy moor --add-port ${port.replace(':', '-')}/${protocol}`,
        '--reload',
      ]
        .map((words) => `firewall-cmd ${words}`)
        .join('; ');
    case 'Docker':
      return by.chain === 'DOCKER-USER'
        ? `change the rules of DOCKER-USER, which are yours (iptables -S DOCKER-USER)`
        : `iptables -I DOCKER-USER -m mark --mark 0x1000/0x1000 -j ACCEPT`;
    case 'libvirt':
    case 'fail2ban':
    case 'Podman':
    case 'Kubernetes':
    case 'LXD':
    case 'CNI':
    case 'hand-written rules':
      return `nft insert rule ${by.family} ${by.table} ${by.chain} '${marked} accept' (what Moorline let pass carries this mark), and add it to the file that your rules come from`;
  }
}
