/** Which registries may be spoken to without verified TLS: loopback, as Docker has it, and those that the daemon was told. */
import { BlockList, isIP } from 'node:net';
import { invalid } from '../../base/errors.ts';

/**
 * @param configured `--insecure-registry`: `host`, `host:port` or a CIDR
 * @returns a test of a reference's domain
 */
export function insecureRegistries(configured: readonly string[]): (domain: string) => boolean {
  const names = new Set<string>(['localhost']);
  const blocks = new BlockList();
  for (const each of ['127.0.0.0/8', '::1/128', ...configured]) {
    const slash = each.indexOf('/');
    if (slash < 0) names.add(each);
    else addBlock(blocks, each, slash);
  }
  return (domain) => {
    const host = domain.replace(/:\d+$/, '');
    const address = host.replace(/^\[|\]$/g, '');
    const family = isIP(address);
    return names.has(domain) || names.has(host) || (family !== 0 && blocks.check(address, family === 6 ? 'ipv6' : 'ipv4'));
  };
}

function addBlock(blocks: BlockList, text: string, slash: number): void {
  const address = text.slice(0, slash);
  const length = Number(text.slice(slash + 1));
  const family = isIP(address);
  if (family === 0 || !Number.isInteger(length) || length < 0 || length > (family === 6 ? 128 : 32)) {
    throw invalid(`insecure registry ${text} is not valid: it is neither a host nor a CIDR`);
  }
  blocks.addSubnet(address, length, family === 6 ? 'ipv6' : 'ipv4');
}
