/** What a verdict means to people: whose rule it is, how it reads, and what can be done about it. */
import type { Decision, ExposureRequest, Reach } from '../contracts/exposure.ts';
import type { PortBinding, PortRange } from '../model/ports.ts';
import type { Ruleset, RulesetTable } from '../nft/ruleset.ts';
import type { Decider } from './decider.ts';
import type { Host } from './host.ts';
import { ownerOf } from './owner.ts';
import type { Verdict } from './path.ts';
import type { Piece } from './pieces.ts';
import { remedyOf } from './remedy.ts';

export interface ExposureInput {
  readonly ruleset: Ruleset;
  readonly host: Host;
  /** Name of our table. */
  readonly own: string;
  /** The condition on our mark, as nft writes it. */
  readonly marked: string;
  /** A rule as nft writes it; null when it has gone meanwhile. */
  readonly ruleText: (decider: Decider & { readonly handle: number }) => string | null;
  readonly unseen: readonly string[];
}

export interface About {
  readonly binding: PortBinding;
  readonly ports: PortRange;
}

export type Judgement = Pick<Reach, 'reachability' | 'direction' | 'decision' | 'on' | 'remedy'>;

export class Judge {
  readonly #input: ExposureInput;
  readonly #networks: ExposureRequest['networks'];
  readonly #tables: ReadonlyMap<string, RulesetTable>;
  readonly #texts = new Map<string, string>();

  constructor(input: ExposureInput, networks: ExposureRequest['networks']) {
    this.#input = input;
    this.#networks = networks;
    this.#tables = new Map(input.ruleset.tables.map((table) => [`${table.family} ${table.name}`, table]));
  }

  judgement({ verdict, on }: Piece, about: About): Judgement {
    const plain = { direction: 'request', on: '', remedy: '' } as const;
    if (verdict === null) return { ...plain, reachability: 'depends', decision: null, on: on.join(', ') };
    switch (verdict.type) {
      case 'reaches': {
        const ours = this.#networks.some(({ bridge }) => bridge === verdict.device);
        const by = ours ? (verdict.by ?? verdict.translatedBy) : verdict.translatedBy;
        return { ...plain, reachability: ours ? 'open' : 'elsewhere', decision: by === null ? null : this.#decision(by) };
      }
      case 'local':
        return { ...plain, reachability: 'elsewhere', decision: verdict.by === null ? null : this.#decision(verdict.by) };
      case 'unknown':
        return { ...plain, reachability: 'depends', decision: null, on: verdict.what };
      case 'refused': {
        const decision = { owner: 'the kernel', table: '', chain: '', handle: null, rule: verdict.why };
        const key = verdict.why.endsWith(' is 0') ? verdict.why.replace(' is 0', '=1') : '';
        return { ...plain, reachability: 'dropped', decision, remedy: key === '' ? '' : `sysctl -w ${key}` };
      }
      case 'untracked':
        return { ...plain, direction: 'answer', reachability: 'dropped', decision: this.#decision(verdict.by) };
      case 'dropped':
      case 'rejected': {
        const direction = verdict.step === 'answer' ? 'answer' : 'request';
        return {
          ...plain,
          direction,
          reachability: verdict.type,
          decision: this.#decision(verdict.by),
          remedy: this.#remedy(verdict, about),
        };
      }
    }
  }

  #remedy({ by }: Extract<Verdict, { type: 'dropped' | 'rejected' }>, { binding, ports }: About): string {
    const shift = binding.containerPorts.from - binding.hostPorts.from;
    const [first, last] = [ports.from + shift, ports.to + shift];
    return remedyOf({
      owner: ownerOf(by, this.#table(by), this.#input.own),
      by,
      hook: this.#hook(by),
      protocol: binding.protocol,
      port: first === last ? String(first) : `${first}:${last}`,
      marked: this.#input.marked,
    });
  }

  #table = (by: Decider): RulesetTable | undefined => this.#tables.get(`${by.family} ${by.table}`);

  /** Of the base chains that lead to a chain: that of the first, of which there is one as a rule. */
  #hook(by: Decider): string {
    const table = this.#table(by);
    if (table === undefined) return '';
    const seen = new Set<string>();
    const leads = (name: string): boolean => {
      if (name === by.chain) return true;
      if (seen.has(name)) return false;
      seen.add(name);
      const text = JSON.stringify(table.chains.get(name)?.rules.map(({ expr }) => expr) ?? []);
      return [...text.matchAll(/"target":"([^"]+)"/g)].some(([, target = '']) => leads(target));
    };
    const forward = [...table.chains.values()].filter(({ hook }) => hook !== null);
    // Chains of tools are shared between hooks now and then: the one that forwarded packets meet comes first.
    const order = forward.toSorted((a, b) => Number(b.hook?.hook === 'forward') - Number(a.hook?.hook === 'forward'));
    for (const { name, hook } of order) {
      seen.clear();
      if (leads(name)) return hook?.hook ?? '';
    }
    return '';
  }

  #decision(by: Decider): Decision {
    const { family, table, chain, handle } = by;
    const owner = ownerOf(by, this.#table(by), this.#input.own);
    return {
      owner,
      table: `${family} ${table}`,
      chain,
      handle,
      rule: handle === null ? 'policy drop' : this.#text({ ...by, handle }),
    };
  }

  #text(rule: Decider & { readonly handle: number }): string {
    const key = `${rule.family} ${rule.table} ${rule.chain} ${rule.handle}`;
    const text = this.#texts.get(key) ?? this.#input.ruleText(rule) ?? '';
    this.#texts.set(key, text);
    return text;
  }
}
