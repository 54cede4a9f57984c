/**
 * Takes the ports of restored sandboxes again: holds end with the daemon. One that a program took meanwhile leads to the sandbox all the
 * same, as the rules are there; it is told of, and tried again from time to time.
 */
import { MoorError } from '../base/errors.ts';
import type { Id } from '../base/ids.ts';
import type { HostPort, HostPortRefusal } from '../contracts/host-ports.ts';
import { hostText, rangeText } from '../model/ports-text.ts';
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
    const sandboxes = [...registry.sandboxes.values()];
    // Nearly always nothing stands against it: one question for all.
    if (await this.#holdAll(sandboxes.flatMap(({ ports = [] }) => hostPortsOf(ports)))) return;
    for (const sandbox of sandboxes) {
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

  /** Whether they are held, all of them. */
  async #holdAll(ports: readonly HostPort[]): Promise<boolean> {
    try {
      return (await this.#ctx.kernel.hostPorts.hold(ports)) === null;
    } catch (error) {
      if (error instanceof MoorError) return false;
      throw error;
    }
  }

  async #hold(sandbox: Sandbox, ports: readonly HostPort[]): Promise<void> {
    const problems: Problem[] = [];
    if (!(await this.#holdAll(ports))) for (const port of ports) problems.push(...(await this.#holdOne(sandbox, port)));
    if (problems.length === 0) this.#problems.delete(sandbox.id);
    else this.#problems.set(sandbox.id, problems);
  }

  /** As much of a range as can be had. @returns what could not */
  async #holdOne(sandbox: Sandbox, wanted: HostPort): Promise<Problem[]> {
    const { hostPorts } = this.#ctx.kernel;
    const problems: Problem[] = [];
    const { to } = wanted.ports;
    for (let { from } = wanted.ports; from <= to; ) {
      const rest: HostPort = { ...wanted, ports: { from, to } };
      let refusal: HostPortRefusal | null;
      try {
        refusal = await hostPorts.hold([rest]);
      } catch (error) {
        if (!(error instanceof MoorError)) throw error;
        return [...problems, problem(sandbox, { port: rest, why: error.message })];
      }
      if (refusal === null) break;
      if (refusal.reason === 'no-address') {
        return [...problems, problem(sandbox, { port: rest, why: 'the host does not have the address' })];
      }
      if (refusal.port > from) await hostPorts.hold([{ ...wanted, ports: { from, to: refusal.port - 1 } }]);
      const holder = await hostPorts.holder(refusal);
      const why = holder === null ? 'a program has it' : `${holder.name} (pid ${holder.pid}) has it`;
      problems.push(problem(sandbox, { port: { ...wanted, ports: { from: refusal.port, to: refusal.port } }, why }));
      from = refusal.port + 1;
    }
    return problems;
  }

  #schedule(): void {
    if (this.#closed || this.#problems.size === 0) return;
    this.#timer = setTimeout(() => {
      void this.#retry().catch((error: unknown) => {
        if (!this.#closed) this.#ctx.logger.error({ err: error }, 'could not hold ports again');
      });
    }, this.#ctx.config.times?.ports ?? RETRY).unref();
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

function problem({ name }: Sandbox, { port, why }: { readonly port: HostPort; readonly why: string }): Problem {
  const where = `${hostText(port.address)}:${rangeText(port.ports)}/${port.protocol}`;
  return {
    port,
    text: `port ${where} of ${name} is published and cannot be held: ${why}; it leads to ${name} as before, and not to a program of the host`,
  };
}
