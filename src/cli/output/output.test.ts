import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { ageOf, goTime, humanDuration } from './age.ts';
import { formatRows } from './format.ts';
import { compareNatural } from './natural.ts';
import { renderTable } from './table.ts';
import { displayWidth, printable, truncate } from './width.ts';

describe('width', () => {
  it('counts columns, not characters', () => {
    const cases: readonly (readonly [string, number])[] = [
      ['', 0],
      ['abc', 3],
      ['é', 1],
      ['e\u0301', 1],
      ['日本', 4],
      ['한글', 4],
      ['ｆｕ', 4],
      ['🚀', 2],
      ['…', 1],
    ];
    for (const [text, width] of cases) assert.equal(displayWidth(text), width, text);
  });
  it('cuts at a column', () => {
    assert.equal(truncate('abcdef', 6), 'abcdef');
    assert.equal(truncate('abcdefg', 6), 'abcde…');
    assert.equal(truncate('日本語', 5), '日本…');
    assert.equal(truncate('日本語', 4), '日…');
  });
  it('shows control characters instead of sending them', () => {
    assert.equal(printable('a\u001b[31mb\n\u009bc'), String.raw`a\x1b[31mb\x0a\x9bc`);
  });
});

describe('table', () => {
  it('aligns columns of wide characters too, and pads no last cell', () => {
    assert.equal(
      renderTable([
        ['NAME', 'COMMAND', 'X'],
        ['web', '日本語日本語', 'y'],
        ['a-long-name-here', 'z', ''],
      ]),
      'NAME               COMMAND        X\nweb                日本語日本語   y\na-long-name-here   z              \n',
    );
  });
  it('gives every column ten', () => {
    assert.equal(renderTable([['A', 'B', 'C']]), 'A         B         C\n');
  });
  it('has no column that does not exist', () => {
    const format = (template: string) => formatRows([{ Name: 'a', ID: '1' }], template, { table: '', headings: {} });
    const message = 'template: :1:2: executing "" at <.Nmae>: map has no entry for key "Nmae" (there are Name, ID)';
    assert.throws(() => format('{{.Nmae}}'), { kind: 'invalid', message });
    assert.throws(() => format('table {{.ID}}\t{{.Nmae}}'), { kind: 'invalid' });
    assert.equal(format('{{json .}}'), '{"ID":"1","Name":"a"}\n');
  });
  it('keeps what comes from elsewhere on its line', () => {
    const out = formatRows([{ Name: 'a\tb\nc' }], '{{.Name}}', { table: '', headings: {} });
    assert.equal(out, String.raw`a\x09b\x0ac` + '\n');
  });
});

describe('order', () => {
  it('is that of people', () => {
    const names = [
      'net10',
      'net2',
      'a',
      'net',
      'net02',
      '10',
      '9',
      'net2a',
      'net18446744073709551617',
      'net18446744073709551616',
    ];
    assert.deepEqual(names.toSorted(compareNatural), [
      '9',
      '10',
      'a',
      'net',
      'net2',
      'net2a',
      'net02',
      'net10',
      'net18446744073709551616',
      'net18446744073709551617',
    ]);
  });
});

describe('times', () => {
  it('are said in round numbers', () => {
    const cases: readonly (readonly [seconds: number, string])[] = [
      [0.4, 'Less than a second'],
      [1.9, '1 second'],
      [59, '59 seconds'],
      [60, 'About a minute'],
      [120, '2 minutes'],
      [3600, 'About an hour'],
      [47 * 3600, '47 hours'],
      [48 * 3600, '2 days'],
      [14 * 86400, '2 weeks'],
      [60 * 86400, '2 months'],
      [730 * 86400, '2 years'],
    ];
    for (const [seconds, words] of cases) assert.equal(humanDuration(seconds * 1000), words);
    assert.equal(ageOf('2026-01-01T00:00:10Z', Date.parse('2026-01-01T00:00:00Z')), 'Less than a second');
  });
  it('print as Go prints them', () => {
    assert.equal(goTime('2026-01-31T10:20:30.120Z'), '2026-01-31 10:20:30.12 +0000 UTC');
    assert.equal(goTime('2026-01-31T10:20:30+02:00'), '2026-01-31 10:20:30 +0200 +0200');
    assert.equal(goTime('2026-01-31T10:20:30.000Z'), '2026-01-31 10:20:30 +0000 UTC');
  });
});
