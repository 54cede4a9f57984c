/** `moor __complete SHELL WORD…`: what a completion script asks. Never fails: without an answer there is nothing to offer. */
import type { CommandNode } from '../command.ts';
import type { DockerNetwork } from '../docker/network.ts';
import type { Api } from '../api.ts';
import type { Sandbox } from '../../model/sandbox.ts';
import { complete, type Candidate, type Names, type Offer } from './words.ts';

/** How long a key press may wait for names, in milliseconds. */
const NAMES_TIMEOUT_MS = 500;

/** @param args the shell, then the words after `moor`; bash breaks words at `=`, which is undone here */
export async function answerCompletion(args: readonly string[], commands: readonly CommandNode[], api: Api): Promise<string> {
  const [shell = '', ...raw] = args;
  const words = shell === 'bash' ? joinAtEquals(raw) : raw;
  const offer = await complete(words, commands, namesFrom(api));
  // The script of bash counts the words as bash broke them.
  const shift = raw.length - words.length;
  return render(offer, shell === 'bash' ? { strip: stripLength(raw, words), shift } : { strip: 0, shift: 0 });
}

function render(offer: Offer, { strip, shift }: { readonly strip: number; readonly shift: number }): string {
  switch (offer.type) {
    case 'file':
      return 'file\n';
    case 'command':
      return `command ${offer.from + shift}\n`;
    case 'words':
      return `words\n${offer.candidates.map(({ word, help }) => `${word.slice(strip)}\t${help}\n`).join('')}`;
  }
}

/** `--subnet`, `=`, `10` -> `--subnet=10` */
function joinAtEquals(words: readonly string[]): readonly string[] {
  const joined: string[] = [];
  let glue = false;
  for (const word of words) {
    const last = joined.at(-1);
    if (last !== undefined && (word === '=' || glue)) joined[joined.length - 1] = last + word;
    else joined.push(word);
    glue = word === '=';
  }
  return joined;
}

/** bash replaces only what follows the last `=`. */
function stripLength(raw: readonly string[], words: readonly string[]): number {
  const typed = words.at(-1) ?? '';
  const last = raw.at(-1) ?? '';
  return last === '=' ? typed.length : typed.length - last.length;
}

function namesFrom(api: Api): Names {
  const ask = async <T>(path: string, candidate: (value: T) => Candidate): Promise<readonly Candidate[]> => {
    try {
      const values = await api.get<readonly T[]>(path, {}, { timeoutMs: NAMES_TIMEOUT_MS });
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
