/** Against expectations here; against Go itself (through the Docker CLI) in test/e2e/docker-words.test.ts. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { BOOL, mapOf, sliceOf, STRING, struct, typed } from './shape.ts';
import { compileTemplate } from './template.ts';

const DATA = {
  name: 'web',
  count: 3,
  none: null,
  yes: true,
  list: ['a', 'b', 'c'],
  map: { z: 1, a: 2 },
  deep: { er: { est: 'x' } },
  greet: (who: unknown) => `hello ${String(who)}`,
};

const render = (source: string, data: unknown = DATA): string => compileTemplate(source)(data);

describe('renders', () => {
  const cases: readonly (readonly [source: string, text: string])[] = [
    ['plain', 'plain'],
    ['{{.name}}-{{.count}}', 'web-3'],
    ['{{.}}'.replace('.', '.map'), 'map[a:2 z:1]'],
    ['{{.none}} {{.missing}} {{.yes}}', '<no value> <no value> true'],
    ['{{.list}} {{len .list}} {{index .list 1}}', '[a b c] 3 b'],
    ['{{.deep.er.est}} {{(index .list 0)}} {{(.deep).er}}', 'x a map[est:x]'],
    ['{{range .list}}<{{.}}>{{end}}', '<a><b><c>'],
    ['{{range $i, $v := .list}}{{$i}}{{$v}} {{end}}', '0a 1b 2c '],
    ['{{range $v := .map}}{{$v}}{{end}}', '21'],
    ['{{range $k, $v := .map}}{{$k}}{{end}}', 'az'],
    ['{{range .none}}x{{else}}nothing{{end}}', 'nothing'],
    ['{{range 3}}{{.}}{{end}}', '012'],
    ['{{range .list}}{{if eq . "b"}}{{continue}}{{end}}{{.}}{{end}}', 'ac'],
    ['{{range .list}}{{if eq . "b"}}{{break}}{{end}}{{.}}{{end}}', 'a'],
    ['{{with .deep.er}}{{.est}}{{$.name}}{{end}}', 'xweb'],
    ['{{with .none}}x{{else with .name}}{{.}}{{end}}', 'web'],
    ['{{if .none}}a{{else if .yes}}b{{else}}c{{end}}', 'b'],
    ['{{$x := .name}}{{if .yes}}{{$x := "inner"}}{{$x}}{{end}}{{$x}}', 'innerweb'],
    ['{{$x := "a"}}{{range .list}}{{$x = .}}{{end}}{{$x}}', 'c'],
    ['{{.name | upper | printf "%s!"}}', 'WEB!'],
    ['{{join .list ", "}} {{json .list}} {{json .map}}', 'a, b, c ["a","b","c"] {"a":2,"z":1}'],
    ['{{json "<&>"}} {{json nil}}', '"<&>" null'],
    ['{{.greet "you"}} {{"them" | .greet}}', 'hello you hello them'],
    ['a  {{- .name -}}  b', 'awebb'],
    ['a {{- /* gone */ -}} b{{/* too */}}', 'ab'],
    ['{{"\\t|\\u00e9|\\x41"}}{{`\\t`}}', '\t|é|A\\t'],
    ["{{'a'}} {{0x10}} {{-2}} {{1.5}}", '97 16 -2 1.5'],
    ['{{and .yes .none}}|{{or .none "d"}}|{{not .yes}}', '<no value>|d|false'],
    ['{{println "a" 1}}{{print "a" 1 2 "b"}}', 'a 1\na1 2b'],
    ['{{slice .name 1}} {{slice .name 0 2}} {{index .name 0}}', 'eb we 119'],
    ['{{printf "%5.1f|%t|%x|%q|%%|%d" 2.25 true "hi" "q" 7}}', '  2.3|true|6869|"q"|%|7'],
    ['{{printf "%d %s" "x"}}', '%!d(string=x) %!s(MISSING)'],
    ['{{printf "a" 1}}', 'a%!(EXTRA int=1)'],
    ['}} {', '}} {'],
    ['{{index .map "q"}}|{{index (index .deep "er") "q"}}|', '<no value>||'],
  ];
  for (const [source, text] of cases) it(source, () => assert.equal(render(source), text));
});

describe('refuses', () => {
  const cases: readonly (readonly [source: string, message: string])[] = [
    ['{{.name', 'template parsing error: template: :1: unclosed action'],
    ['\n{{if .x}}', 'template parsing error: template: :2: unexpected EOF'],
    ['{{end}}', 'template parsing error: template: :1: unexpected {{end}}'],
    ['{{nope}}', 'template parsing error: template: :1: function "nope" not defined'],
    ['{{}}', 'template parsing error: template: :1: missing value for command'],
    ['{{if}}x{{end}}', 'template parsing error: template: :1: missing value for if'],
    ['{{.a | }}', 'template parsing error: template: :1: missing value for command'],
    ['{{(.a}}', 'template parsing error: template: :1: unclosed left paren'],
    ['{{.a)}}', 'template parsing error: template: :1: unexpected ")" in command'],
    ['{{break}}', 'template parsing error: template: :1: {{break}} outside {{range}}'],
    ['{{"abc}}', 'template parsing error: template: :1: unterminated quoted string'],
    ['{{.a ? 1}}', 'template parsing error: template: :1: unexpected "?" in operand'],
    ['{{$x}}', 'template parsing error: template: :1: undefined variable "$x"'],
    ['{{.name.x}}', 'template: :1:2: executing "" at <.name.x>: can\'t evaluate field x in type string'],
    ['{{.none.x}}', 'template: :1:2: executing "" at <.none.x>: nil data; no entry for key "x"'],
    ['{{index .list 9}}', 'template: :1:2: executing "" at <index .list 9>: error calling index: index out of range: 9'],
    ['{{.name "x"}}', 'template: :1:2: executing "" at <.name "x">: name has arguments but cannot be invoked as function'],
    ['{{"a" | "b"}}', 'template: :1:8: executing "" at <"b">: can\'t give argument to non-function "b"'],
    ['{{eq 1 "1"}}', 'template: :1:2: executing "" at <eq 1 "1">: error calling eq: incompatible types for comparison'],
    ['{{range .yes}}{{end}}', 'template: :1:8: executing "" at <.yes>: range can\'t iterate over true'],
  ];
  for (const [source, message] of cases) {
    it(source, () => assert.throws(() => render(source), { kind: 'invalid', message }));
  }
});

it('sees a struct by Go names in Go order, with zero values, and by its JSON names', () => {
  const shape = struct({
    ID: ['Id', STRING],
    Internal: BOOL,
    Tags: mapOf(STRING),
    Parts: sliceOf(struct({ A: STRING, B: STRING })),
  });
  const value = typed(shape, { Parts: [{ B: 'b' }], Id: 'x', Tags: { z: '1', a: '2' } });
  assert.equal(render('{{.ID}} {{.Id}} {{.Internal}} {{.}}', value), 'x x false {x false map[a:2 z:1] [{ b}]}');
  assert.equal(render('{{json .}}', value), '{"Parts":[{"B":"b"}],"Id":"x","Tags":{"a":"2","z":"1"}}');
  assert.throws(() => render('{{.Nope}}', value), {
    message: 'template: :1:2: executing "" at <.Nope>: map has no entry for key "Nope"',
  });
});

it('does not mistake what every object inherits for data', () => {
  assert.equal(render('{{.constructor}} {{.toString}}'), '<no value> <no value>');
});
