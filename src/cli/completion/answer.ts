/** `moor __complete SHELL WORD…`: what a completion script asks. Never fails: without an answer there is nothing to offer. */
import type { CommandNode } from '../command.ts';
import type { DockerNetwork } from '../docker/network.ts';
import type { Api } from '../api.ts';
import type { Sandbox } from '../../model/sandbox.ts';
import { complete, type Candidate, type Names, type Offer } from './words.ts';

/** How long a key press may wait for names, in milliseconds. */
const NAMES_TIMEOUT_MS = 500;

/**
 * @param args the shell, then the words after `moor`; bash breaks words at `=` and `:`, which is undone here
 * @param connect to the daemon that the words name; undefined: the usual one
 */
export async function answerCompletion(
  args: readonly string[],
  commands: readonly CommandNode[],
  connect: (host: string | undefined) => Api,
): Promise<string> {
  const [shell = '', ...raw] = args;
  const { words, starts } = shell === 'bash' ? joinBroken(raw) : { words: raw, starts: raw.keys().toArray() };
  const offer = await complete(
    words,
    commands,
    namesFrom(() => connect(hostIn(words))),
  );
  return render(offer, { starts, strip: shell === 'bash' ? stripLength(raw, words) : 0 });
}

/** @param starts where each word begins among those of the shell, which its script counts by */
function render(offer: Offer, { starts, strip }: { readonly starts: readonly number[]; readonly strip: number }): string {
  switch (offer.type) {
    case 'file':
      return 'file\n';
    case 'command':
      return `command ${starts[offer.from] ?? offer.from}\n`;
    case 'words':
      return `words\n${offer.candidates.map(({ word, help }) => `${word.slice(strip)}\t${help}\n`).join('')}`;
  }
}

/** `-H ADDRESS`, `--host ADDRESS` or `--host=ADDRESS`. In the words of somebody else's command it does no harm: names are not asked for there. */
function hostIn(words: readonly string[]): string | undefined {
  const at = words.findLastIndex((word, i) => i < words.length - 1 && /^(-H|--host|--host=.*)$/.test(word));
  if (at < 0) return undefined;
  const word = words[at];
  return word?.startsWith('--host=') ? word.slice('--host='.length) : words[at + 1];
}

/** Where bash breaks a word (COMP_WORDBREAKS), what it breaks it at is a word as well: several such characters are one. */
const BREAK = /^[=:]+$/;

/** `--subnet`, `=`, `10` -> `--subnet=10`; `8080`, `:`, `80` -> `8080:80`; `fd00`, `::`, `5` -> `fd00::5` */
function joinBroken(raw: readonly string[]): { readonly words: readonly string[]; readonly starts: readonly number[] } {
  const words: string[] = [];
  const starts: number[] = [];
  let glue = false;
  for (const [i, word] of raw.entries()) {
    const last = words.at(-1);
    if (last !== undefined && (BREAK.test(word) || glue)) words[words.length - 1] = last + word;
    else {
      words.push(word);
      starts.push(i);
    }
    glue = BREAK.test(word);
  }
  return { words, starts };
}

/** bash replaces only what follows the last break. */
function stripLength(raw: readonly string[], words: readonly string[]): number {
  const typed = words.at(-1) ?? '';
  const last = raw.at(-1) ?? '';
  return BREAK.test(last) ? typed.length : typed.length - last.length;
}

function namesFrom(connect: () => Api): Names {
  const ask = async <T>(path: string, candidate: (value: T) => Candidate): Promise<readonly Candidate[]> => {
    try {
      const values = await connect().get<readonly T[]>(path, {}, { timeoutMs: NAMES_TIMEOUT_MS });
      return values.map(candidate);
    } catch {
      return [];
    }
  };
  return {
    networks: () => ask<DockerNetwork>('/networks', ({ Name, Driver }) => ({ word: Name, help: Driver })),
    sandboxes: () => ask<Sandbox>('/moor/sandboxes', ({ name, process }) => ({ word: name, help: process?.command[0] ?? '' })),
  };
}
