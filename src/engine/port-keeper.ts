/**
 * Takes the ports of restored sandboxes again: holds end with the daemon. One that a program took meanwhile leads to the sandbox all the
 * same, as the rules are there; it is told of, and tried again from time to time.
 */
import type { Id } from '../base/ids.ts';
import type { HostPort } from '../contracts/host-ports.ts';
import { hostText } from '../model/ports-text.ts';
import type { Sandbox } from '../model/sandbox.ts';
import type { Context } from './context.ts';
import { hostPortsOf } from './port-reserve.ts';

/** Milliseconds. */
const RETRY = 10_000;

interface Problem {
  readonly port: HostPort;
  readonly text: string;
}

export class PortKeeper {
  readonly #ctx: Context;
  readonly #problems = new Map<Id, readonly Problem[]>();
  #timer: NodeJS.Timeout | null = null;
  #closed = false;

  constructor(ctx: Context) {
    this.#ctx = ctx;
  }

  /** Once, at the start: the table of ports is filled, and they are held. */
  async restore(): Promise<void> {
    const { registry, portTable } = this.#ctx;
    for (const { id, ports = [] } of registry.sandboxes.values()) for (const one of hostPortsOf(ports)) portTable.take(id, one);
    for (const sandbox of registry.sandboxes.values()) {
      await this.#hold(sandbox, hostPortsOf(sandbox.ports ?? []));
      for (const { text } of this.#problems.get(sandbox.id) ?? []) this.#ctx.logger.warn({ sandbox: sandbox.id }, text);
    }
    this.#schedule();
  }

  /** What an administrator should know. */
  warnings(): string[] {
    return [...this.#problems.entries()].flatMap(([id, list]) =>
      this.#ctx.registry.sandboxes.has(id) ? list.map(({ text }) => text) : [],
    );
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer ?? undefined);
  }

  async #hold(sandbox: Sandbox, ports: readonly HostPort[]): Promise<void> {
    const problems: Problem[] = [];
    for (const port of ports) problems.push(...(await this.#holdOne(sandbox, port)));
    if (problems.length === 0) this.#problems.delete(sandbox.id);
    else this.#problems.set(sandbox.id, problems);
  }

  /** As much of a range as can be had. @returns what could not */
  async #holdOne(sandbox: Sandbox, wanted: HostPort): Promise<Problem[]> {
    const { hostPorts } = this.#ctx.kernel;
    const problems: Problem[] = [];
    let { from } = wanted.ports;
    while (from <= wanted.ports.to) {
      const rest: HostPort = { ...wanted, ports: { from, to: wanted.ports.to } };
      const refusal = await hostPorts.hold([rest]);
      if (refusal === null) break;
      if (refusal.port > from) await hostPorts.hold([{ ...wanted, ports: { from, to: refusal.port - 1 } }]);
      const holder = refusal.reason === 'in-use' ? await hostPorts.holder(refusal) : null;
      const who =
        refusal.reason === 'no-address'
          ? 'the host does not have the address'
          : holder === null
            ? 'a program has it'
            : `${holder.name} (pid ${holder.pid}) has it`;
      const where = `${hostText(wanted.address)}:${refusal.port}/${wanted.protocol}`;
      problems.push({
        port: { ...wanted, ports: { from: refusal.port, to: refusal.port } },
        text: `port ${where} of ${sandbox.name} is published and cannot be held: ${who}; it leads to ${sandbox.name} as before, and not to that program`,
      });
      from = refusal.port + 1;
    }
    return problems;
  }

  #schedule(): void {
    if (this.#closed || this.#problems.size === 0) return;
    this.#timer = setTimeout(() => {
      void this.#retry().catch((error: unknown) => this.#ctx.logger.error({ err: error }, 'could not hold ports again'));
    }, RETRY).unref();
  }

  /** Under each sandbox's lock: a port may have been unpublished. */
  async #retry(): Promise<void> {
    for (const [id, problems] of [...this.#problems]) {
      using _lock = await this.#ctx.locks.hold(id);
      const sandbox = this.#ctx.registry.sandboxes.get(id);
      if (this.#closed) return;
      const still = problems.filter(({ port }) =>
        sandbox?.ports?.some(
          (one) =>
            one.protocol === port.protocol &&
            one.hostAddress === port.address &&
            one.hostPorts.from <= port.ports.from &&
            one.hostPorts.to >= port.ports.to,
        ),
      );
      if (sandbox === undefined || still.length === 0) {
        this.#problems.delete(id);
        continue;
      }
      await this.#hold(
        sandbox,
        still.map(({ port }) => port),
      );
      if (!this.#problems.has(id)) this.#ctx.logger.info({ sandbox: id }, `the ports of ${sandbox.name} are held again`);
    }
    this.#schedule();
  }
}
