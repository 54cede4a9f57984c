/** Firewalls on the host of a matrix test, which takes their rules with it. */
import type { TestDaemon } from '../support/daemon.ts';
import { enableUfw, shell } from '../support/firewalls.ts';
import { ALIVE, script } from './matrix-host.ts';

/** In front of a command that runs there. */
export const enter = ({ holder }: TestDaemon): readonly string[] => [
  ...['nsenter', '-t', String(holder), '--net', '--mount', '--pid', '--'],
];

/** @param files what it writes goes with them */
export async function ufw(host: TestDaemon, files: AsyncDisposableStack): Promise<void> {
  await enableUfw(files, enter(host));
  await shell(`ufw allow ${ALIVE}`, enter(host));
}

/** As an administrator writes it by hand. */
export const forwardDrop = async (host: TestDaemon): Promise<void> =>
  void (await script(host, "nft 'table inet mine { chain forward { type filter hook forward priority 0; policy drop; }; }'"));
