/** What a change is about, in a few words, for the line that says what was repaired. */
import type { Change, Route } from '../contracts/change.ts';

export function subject(change: Change): string {
  switch (change.kind) {
    case 'netns':
    case 'netns-pin':
      return `network namespace ${change.path}`;
    case 'link':
      return `link ${change.link.name}`;
    case 'link-set':
      return `link ${change.name}`;
    case 'address':
      return `address ${change.address} on ${change.device}`;
    case 'route':
      return route(change.route);
    case 'rule':
      return `routing rule ${change.rule.priority}`;
    case 'neighbour':
      return `neighbour ${change.neighbour.address} on ${change.neighbour.device}`;
    case 'fdb':
      return `forwarding entry ${change.entry.mac} on ${change.entry.device}`;
    case 'sysctl':
      return `sysctl ${change.key}`;
    case 'offload':
      return `checksum offload of ${change.device}`;
    case 'nft-table':
      return `table ${change.table.family} ${change.table.name}`;
    case 'nft-element':
      return `element ${change.element.key} of set ${change.element.set}`;
    case 'nft-rule':
      return `rule in chain ${change.chain} of table ${change.family} ${change.table}`;
    case 'file':
      return `file ${change.path}`;
    case 'announce':
      return `announcement of ${change.address} on ${change.device}`;
    case 'conntrack':
      return 'connections';
  }
}

function route({ destination, via, device }: Route): string {
  const to = destination.endsWith('/0') ? 'default' : destination;
  return `route ${to}${via === undefined ? ` dev ${device ?? '-'}` : ` via ${via}`}`;
}
