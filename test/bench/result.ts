/** What is measured: samples by contestant, their summary, and the budget that the design sets for ours. */

export const CONTESTANTS = ['moorline', 'docker', 'cni', 'netavark'] as const;
export type Contestant = (typeof CONTESTANTS)[number];

/** Who has a column of its own only where it takes part: the kernel's own means by hand, and tunnels of others. */
export const REFERENCES = ['kernel', 'socat', 'tinc', 'tinc, no crypto', 'nebula', 'wireguard-go'] as const;
type Column = Contestant | (typeof REFERENCES)[number];

export const TITLES: Readonly<Record<Column, string>> = {
  moorline: 'Moorline',
  docker: 'Docker Engine',
  cni: 'CNI bridge',
  netavark: 'netavark',
  kernel: 'kernel, by hand',
  socat: 'socat',
  tinc: 'tinc',
  'tinc, no crypto': 'tinc, no crypto',
  nebula: 'Nebula',
  'wireguard-go': 'wireguard-go',
};

export interface Summary {
  readonly samples: number;
  readonly median: number;
  readonly min: number;
  readonly max: number;
}

export interface Row {
  readonly part: string;
  readonly what: string;
  readonly unit:
    | 'ms'
    | 'ms/Gbit'
    | 'MB'
    | 'x'
    | 'packets'
    | 'queries/s'
    | 'rules'
    | 'kB'
    | 'Gbit/s'
    | 'connections'
    | 'connections/s'
    | 'packets/s';
  readonly values: Readonly<Partial<Record<Column, Summary>>>;
  /** Ours must be at most this (section 10 of the design), or at least. Informational: a machine is not the reference machine. */
  readonly budget?: number;
  /** More is better; otherwise less is. */
  readonly rate?: true;
  readonly note?: string;
}

export interface Environment {
  readonly date: string;
  readonly cpu: string;
  readonly kernel: string;
  readonly fileSystem: string;
  readonly versions: Readonly<Record<string, string>>;
  readonly commit: string;
  /** 1-minute load average before and after: above 1 at the start, somebody else was measured too. */
  readonly load: readonly [number, number];
  readonly seconds: number;
  readonly quick: boolean;
}

export interface Report {
  readonly environment: Environment;
  readonly rows: readonly Row[];
}

/** @throws RangeError when there is nothing to summarise: a part that measured nothing must not look like one that did */
export function summarise(samples: readonly number[]): Summary {
  const sorted = samples.toSorted((a, b) => a - b);
  const min = sorted[0];
  const max = sorted.at(-1);
  if (min === undefined || max === undefined) throw new RangeError('no samples');
  return { samples: sorted.length, median: middle(sorted), min, max };
}

function middle(sorted: readonly number[]): number {
  const half = Math.floor(sorted.length / 2);
  const upper = sorted[half] ?? 0;
  return sorted.length % 2 === 1 ? upper : ((sorted[half - 1] ?? 0) + upper) / 2;
}

/** undefined: no budget, or ours was not measured. */
export function isMet({ budget, rate, values: { moorline } }: Row): boolean | undefined {
  if (budget === undefined || moorline === undefined) return undefined;
  return rate ? moorline.median >= budget : moorline.median <= budget;
}
