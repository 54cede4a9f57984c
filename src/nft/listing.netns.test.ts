/** Listings by nft itself give back what was rendered. */
import '../../test/support/isolated.ts';
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { ELEMENTS, TABLE } from './fixture.testing.ts';
import { numericKey } from './names.ts';
import { parseTable } from './parse.ts';
import { render, renderElement } from './render.ts';
import { commands, SEPARATOR } from './transaction.ts';

/** In a network namespace of its own, dead with its one process. */
function nft(script: string, before = ':'): string {
  const directory = mkdtempSync(join(tmpdir(), 'moor-nft-'));
  try {
    const file = join(directory, 'x.nft');
    writeFileSync(file, script);
    return execFileSync('unshare', ['-nm', 'sh', '-ec', `${before}; nft -f ${file}; nft -j list table inet moor`], {
      encoding: 'utf8',
    });
  } finally {
    rmSync(directory, { recursive: true });
  }
}

test('parse: a listing by nft gives back what was rendered', () => {
  const script = `${render(TABLE)}${ELEMENTS.map((element) => `add element ${renderElement(TABLE, element)}\n`).join('')}`;
  const state = parseTable(nft(script));
  assert.equal(state.family, 'inet');
  assert.equal(state.name, 'moor');
  assert.deepEqual(state.chains, { forward: ['replies', 'within a network', "it's {odd}; #1"], internal: ['internal'] });
  const wanted: Record<string, Record<string, string>> = {};
  for (const set of TABLE.sets) wanted[set.name] = {};
  for (const { set, key, value } of ELEMENTS) (wanted[set] ??= {})[key] = value ?? '';
  assert.deepEqual(state.sets, wanted);
});

test('parse: protocols have their names also where /etc/protocols has none', () => {
  const script = `${render(TABLE)}${ELEMENTS.map((element) => `add element ${renderElement(TABLE, element)}\n`).join('')}`;
  const listing = nft(script, 'mount --bind /dev/null /etc/protocols');
  assert.ok(listing.includes('"concat": [17,'), 'nft has found names elsewhere');
  assert.deepEqual(parseTable(listing), parseTable(nft(script)));
  assert.equal(numericKey('sctp . 10.0.0.7 . 9'), '132 . 10.0.0.7 . 9');
});

test('parse: the one-line commands make the same table as the file', () => {
  const line = [
    ...commands({ kind: 'nft-table', op: 'add', table: TABLE }),
    ...ELEMENTS.flatMap((element) => commands({ kind: 'nft-element', op: 'add', table: TABLE, element }, { fresh: true })),
  ].join(SEPARATOR);
  const twice = commands({ kind: 'nft-table', op: 'add', table: TABLE }, { update: true }).join(SEPARATOR);
  const file = `${render(TABLE)}${ELEMENTS.map((element) => `add element ${renderElement(TABLE, element)}\n`).join('')}`;
  assert.deepEqual(parseTable(nft(`${line}\n${twice}\n`)), parseTable(nft(file)));
});
