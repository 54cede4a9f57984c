/** The Dockerfile words that `docker import --change` takes (Dockerfile reference), applied to a configuration. No variables are expanded. */
import { posix } from 'node:path';
import { invalid } from '../../base/errors.ts';
import type { HealthConfig } from '../../model/container.ts';

/** The part of an image's configuration that these words set. Null as Docker writes it. */
export interface ImageSettings {
  User: string;
  ExposedPorts?: Record<string, object>;
  Env: string[];
  Entrypoint: string[] | null;
  Cmd: string[] | null;
  Healthcheck?: HealthConfig;
  Volumes: Record<string, object> | null;
  WorkingDir: string;
  Labels: Record<string, string> | null;
  OnBuild: string[] | null;
  StopSignal?: string;
}

const SHELL = ['/bin/sh', '-c'];

const WORDS: Readonly<Record<string, (settings: ImageSettings, rest: string) => void>> = {
  CMD: (settings, rest) => void (settings.Cmd = command(rest)),
  ENTRYPOINT: (settings, rest) => {
    settings.Entrypoint = command(rest);
  },
  ENV: (settings, rest) => {
    for (const [key, value] of pairs('ENV', rest)) {
      settings.Env = [...settings.Env.filter((each) => !each.startsWith(`${key}=`)), `${key}=${value}`];
    }
  },
  USER: (settings, rest) => void (settings.User = one('USER', rest)),
  WORKDIR: (settings, rest) => void (settings.WorkingDir = posix.resolve('/', settings.WorkingDir, one('WORKDIR', rest))),
  EXPOSE: (settings, rest) => {
    for (const port of split(rest)) for (const each of ports(port)) (settings.ExposedPorts ??= {})[each] = {};
  },
  LABEL: (settings, rest) => void (settings.Labels = { ...settings.Labels, ...Object.fromEntries(pairs('LABEL', rest)) }),
  VOLUME: (settings, rest) => {
    for (const path of jsonForm(rest) ?? split(rest)) {
      if (path.trim() === '') throw invalid('VOLUME specified can not be an empty string');
      settings.Volumes = { ...settings.Volumes, [path]: {} };
    }
  },
  ONBUILD: (settings, rest) => {
    const trigger = /^\w+/.exec(rest)?.[0].toUpperCase();
    if (trigger === 'ONBUILD') throw invalid("Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed");
    if (trigger === 'FROM' || trigger === 'MAINTAINER') throw invalid(`${trigger} isn't allowed as an ONBUILD trigger`);
    settings.OnBuild = [...(settings.OnBuild ?? []), rest];
  },
  STOPSIGNAL: (settings, rest) => {
    const signal = one('STOPSIGNAL', rest);
    if (!/^(\d{1,2}|(SIG)?[A-Z][A-Z0-9+-]*)$/.test(signal)) throw invalid(`Invalid signal: ${signal}`);
    settings.StopSignal = signal;
  },
  HEALTHCHECK: (settings, rest) => void (settings.Healthcheck = health(rest)),
};

/** @throws invalid with Docker's words where it has some */
export function applyChanges(settings: ImageSettings, changes: readonly string[]): ImageSettings {
  const result = { ...settings };
  for (const line of changes.flatMap((change) => change.split(/(?<!\\)\n/)).map((each) => each.replaceAll('\\\n', ' ').trim())) {
    if (line === '' || line.startsWith('#')) continue;
    const [, word = '', rest = ''] = /^(\S+)\s*([\s\S]*)$/.exec(line) ?? [];
    const apply = WORDS[word.toUpperCase()];
    if (!apply) throw invalid(`${word.toLowerCase()} is not a valid change command`);
    if (rest === '') throw invalid(`${word.toUpperCase()} requires at least one argument`);
    apply(result, rest);
  }
  return result;
}

export const emptySettings = (): ImageSettings => ({
  User: '',
  Env: [],
  Entrypoint: null,
  Cmd: null,
  Volumes: null,
  WorkingDir: '',
  Labels: null,
  OnBuild: null,
});

/** The JSON form is run as it is, anything else by a shell. */
const command = (rest: string): string[] => jsonForm(rest) ?? [...SHELL, rest];

/** What looks like a list and is not one is shell text, as Docker has it. */
function jsonForm(rest: string): string[] | null {
  if (!rest.startsWith('[')) return null;
  try {
    const value: unknown = JSON.parse(rest);
    return Array.isArray(value) && value.every((each): each is string => typeof each === 'string') ? value : null;
  } catch {
    return null;
  }
}

function one(word: string, rest: string): string {
  const [first, ...more] = split(rest);
  if (first === undefined || more.length > 0) throw invalid(`${word} requires exactly one argument`);
  return first;
}

/** `k=v k2="v 2"`, or the old `k the rest`. */
function pairs(word: string, rest: string): readonly (readonly [key: string, value: string])[] {
  const old = /^([^\s=]+)\s+(\S[\s\S]*)$/.exec(rest);
  if (old?.[1] !== undefined && old[2] !== undefined) return [[old[1], split(old[2]).join(' ')]];
  return split(rest).map((pair) => {
    const equals = pair.indexOf('=');
    if (equals < 0) throw invalid(`Syntax error - can't find = in "${pair}". Must be of the form: name=value`);
    if (equals === 0) throw invalid(`${word} names can not be blank`);
    return [pair.slice(0, equals), pair.slice(equals + 1)];
  });
}

/** Words as a shell parts them: blanks, both kinds of quotes, backslashes. */
function split(text: string): readonly string[] {
  const words: string[] = [];
  let word: string | null = null;
  let quote = '';
  for (let at = 0; at < text.length; at++) {
    const char = text.charAt(at);
    if (char === '\\' && quote !== "'" && at + 1 < text.length) word = (word ?? '') + text.charAt(++at);
    else if (quote !== '') {
      if (char === quote) quote = '';
      else word = (word ?? '') + char;
    } else if (char === '"' || char === "'") {
      quote = char;
      word ??= '';
    } else if (/\s/.test(char)) {
      if (word !== null) words.push(word);
      word = null;
    } else word = (word ?? '') + char;
  }
  if (quote !== '')
    throw invalid(`unexpected end of statement while looking for matching ${quote === '"' ? 'double' : 'single'}-quote`);
  if (word !== null) words.push(word);
  return words;
}

/** `80`, `80/udp`, `8000-8002/tcp` */
function ports(text: string): readonly string[] {
  const [, first, last, protocol = 'tcp'] = /^(\d{1,5})(?:-(\d{1,5}))?(?:\/(tcp|udp|sctp))?$/i.exec(text) ?? [];
  const from = Number(first);
  const to = Number(last ?? first);
  if (first === undefined || from < 1 || to > 65535 || to < from) throw invalid(`Invalid containerPort: ${text}`);
  return Array.from({ length: to - from + 1 }, (_, index) => `${from + index}/${protocol.toLowerCase()}`);
}

/** Nanoseconds a unit. */
const UNITS: Readonly<Record<string, number>> = { ns: 1, us: 1e3, ms: 1e6, s: 1e9, m: 60e9, h: 3600e9 };
/** Option of HEALTHCHECK -> field; all but retries are durations. */
const HEALTH_FLAGS = {
  interval: 'Interval',
  timeout: 'Timeout',
  'start-period': 'StartPeriod',
  'start-interval': 'StartInterval',
  retries: 'Retries',
} as const;

function health(rest: string): HealthConfig {
  const settings: { -readonly [K in keyof HealthConfig]: HealthConfig[K] } = {};
  let left = rest;
  for (let match = FLAG.exec(left); match; match = FLAG.exec(left)) {
    const [whole, name = '', value = ''] = match;
    const field = Object.hasOwn(HEALTH_FLAGS, name) ? HEALTH_FLAGS[name as keyof typeof HEALTH_FLAGS] : null;
    if (!field) throw invalid(`Unknown flag: ${name}`);
    settings[field] = field === 'Retries' ? count(value) : duration(value, name);
    left = left.slice(whole.length);
  }
  const [, type = '', text = ''] = /^(\S+)\s*([\s\S]*)$/.exec(left) ?? [];
  switch (type.toUpperCase()) {
    case 'NONE':
      if (text !== '') throw invalid('HEALTHCHECK NONE takes no arguments');
      return { Test: ['NONE'] };
    case 'CMD': {
      if (text === '') throw invalid('Missing command after HEALTHCHECK CMD');
      const exec = jsonForm(text);
      return { ...settings, Test: exec ? ['CMD', ...exec] : ['CMD-SHELL', text] };
    }
    default:
      throw invalid(`Unknown type "${type.toUpperCase()}" in HEALTHCHECK (try CMD)`);
  }
}

const FLAG = /^--([a-z-]+)=(\S+)\s+/;

function count(text: string): number {
  if (!/^\d{1,6}$/.test(text)) throw invalid(`--retries must be at least 1 (not ${text})`);
  return Number(text);
}

/** Go's durations: `1m30s`. @returns nanoseconds */
function duration(text: string, flag: string): number {
  const parts = [...text.matchAll(/(\d+(?:\.\d+)?)(ns|us|ms|s|m|h)/g)];
  const total = parts.reduce((sum, [, value, unit = '']) => sum + Number(value) * (UNITS[unit] ?? 0), 0);
  if (parts.map(([whole]) => whole).join('') !== text || text === '')
    throw invalid(`Interval "${flag}" must be a duration, not ${text}`);
  if (total !== 0 && total < 1e6) throw invalid(`Interval "${flag}" cannot be less than 1ms`);
  return total;
}
