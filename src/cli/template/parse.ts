/** Templates as trees. */
import { templateError, tokenize, type Token } from './token.ts';

export type Node =
  | { readonly type: 'text'; readonly value: string }
  | { readonly type: 'action'; readonly pipeline: Pipeline }
  | BlockNode
  | { readonly type: 'break' | 'continue' };

export interface BlockNode {
  readonly type: 'if' | 'with' | 'range';
  readonly pipeline: Pipeline;
  readonly body: readonly Node[];
  /** After `else`. */
  readonly otherwise: readonly Node[];
}

export interface Pipeline {
  /** Variables that take the value; of `range`, up to two (index, element). */
  readonly variables: readonly string[];
  /** `=` instead of `:=`. */
  readonly assigns: boolean;
  readonly stages: readonly Stage[];
}

/** A function or method with its arguments, or one value. */
export interface Stage {
  readonly operands: readonly Operand[];
  readonly offset: number;
  /** As written, for errors. */
  readonly source: string;
}

export type Operand =
  | { readonly type: 'dot' | 'nil' }
  | { readonly type: 'literal'; readonly value: string | number | boolean }
  | { readonly type: 'function'; readonly name: string }
  /** `base` and then a field of it, and so on: `$x.A.B`, `.A`, `(f .X).Y` */
  | { readonly type: 'chain'; readonly base: Operand; readonly fields: readonly string[] }
  | { readonly type: 'variable'; readonly name: string }
  | { readonly type: 'pipeline'; readonly pipeline: Pipeline };

const BLOCKS = ['if', 'with', 'range'] as const;
type Block = (typeof BLOCKS)[number];

/** @param functions names that may be called @throws invalid in Go's words */
export function parseTemplate(source: string, functions: ReadonlySet<string>): readonly Node[] {
  const parser = new Parser(source, functions);
  return parser.parse();
}

class Parser {
  readonly #source: string;
  readonly #functions: ReadonlySet<string>;
  readonly #tokens: readonly Token[];
  #at = 0;
  #loops = 0;

  constructor(source: string, functions: ReadonlySet<string>) {
    this.#source = source;
    this.#functions = functions;
    this.#tokens = tokenize(source);
  }

  parse(): readonly Node[] {
    const { nodes, end } = this.#nodes();
    if (end) throw this.#error(`unexpected {{${end}}}`);
    return nodes;
  }

  /** Nodes up to `{{end}}` or `{{else ...}}`, whose word has been read, or up to the end of the template. */
  #nodes(): { readonly nodes: Node[]; readonly end: 'end' | 'else' | null } {
    const nodes: Node[] = [];
    for (;;) {
      const token = this.#tokens[this.#at];
      if (!token) return { nodes, end: null };
      this.#at++;
      if (token.type === 'text') {
        nodes.push({ type: 'text', value: token.value });
        continue;
      }
      this.#skipSpace();
      const word = this.#peek();
      if (word?.type === 'word') {
        if (word.value === 'end' || word.value === 'else') {
          this.#at++;
          if (word.value === 'end') this.#close();
          return { nodes, end: word.value };
        }
        const block = BLOCKS.find((name) => name === word.value);
        if (block) {
          this.#at++;
          nodes.push(this.#block(block));
          continue;
        }
        if (word.value === 'break' || word.value === 'continue') {
          this.#at++;
          if (this.#loops === 0) throw this.#error(`{{${word.value}}} outside {{range}}`);
          this.#close();
          nodes.push({ type: word.value });
          continue;
        }
      }
      nodes.push({ type: 'action', pipeline: this.#pipeline('command') });
      this.#close();
    }
  }

  #block(type: Block): Node {
    const pipeline = this.#pipeline(type);
    this.#close();
    if (type === 'range') this.#loops++;
    const { nodes: body, end } = this.#nodes();
    if (type === 'range') this.#loops--;
    if (end === null) throw this.#error('unexpected EOF');
    return { type, pipeline, body, otherwise: end === 'else' ? this.#otherwise(type) : [] };
  }

  /** After `else`: another block of the same kind in one word (`else if`), or nodes up to `end`. */
  #otherwise(type: Block): readonly Node[] {
    this.#skipSpace();
    const word = this.#peek();
    if (word?.type === 'word' && (word.value === 'if' || word.value === 'with') && word.value === type) {
      this.#at++;
      return [this.#block(type)];
    }
    this.#close();
    const { nodes, end } = this.#nodes();
    if (end === null) throw this.#error('unexpected EOF');
    if (end === 'else') throw this.#error('unexpected {{else}}');
    return nodes;
  }

  #pipeline(context: string): Pipeline {
    const declared = this.#declaration(context === 'range' ? 2 : 1);
    const stages: Stage[] = [];
    for (;;) {
      stages.push(this.#stage(context));
      if (this.#peek()?.type !== '|') return { ...declared, stages };
      this.#at++;
    }
  }

  /** `$x :=`, `$i, $x :=`, `$x =` or nothing. */
  #declaration(most: number): { readonly variables: readonly string[]; readonly assigns: boolean } {
    const start = this.#at;
    const variables: string[] = [];
    for (;;) {
      this.#skipSpace();
      const token = this.#peek();
      if (token?.type !== 'variable') break;
      variables.push(token.value);
      this.#at++;
      this.#skipSpace();
      const sign = this.#peek()?.type;
      if (sign === ':=' || sign === '=') {
        this.#at++;
        if (variables.length > most) throw this.#error('too many declarations');
        return { variables, assigns: sign === '=' };
      }
      if (sign !== ',') break;
      this.#at++;
    }
    this.#at = start;
    return { variables: [], assigns: false };
  }

  #stage(context: string): Stage {
    this.#skipSpace();
    const offset = this.#peek()?.offset ?? this.#source.length;
    const operands: Operand[] = [];
    for (;;) {
      const operand = this.#operand();
      if (!operand) break;
      operands.push(operand);
      if (this.#peek()?.type !== 'space') break;
      this.#skipSpace();
    }
    if (operands.length === 0) throw this.#error(`missing value for ${context}`);
    const end = this.#peek()?.offset ?? this.#source.length;
    return { operands, offset, source: this.#source.slice(offset, end).trim() };
  }

  #operand(): Operand | null {
    const base = this.#term();
    const fields: string[] = [];
    for (let token = this.#peek(); base && token?.type === 'field'; token = this.#peek()) {
      fields.push(token.value);
      this.#at++;
    }
    if (!base) return null;
    return fields.length === 0 ? base : { type: 'chain', base, fields };
  }

  #term(): Operand | null {
    const token = this.#peek();
    switch (token?.type) {
      case 'field':
        // `.Name` is a field of dot; the token itself is taken as the first of the chain.
        return { type: 'dot' };
      case 'dot':
        this.#at++;
        return { type: 'dot' };
      case 'variable':
        this.#at++;
        return { type: 'variable', name: token.value };
      case 'string':
      case 'number':
        this.#at++;
        return { type: 'literal', value: token.value };
      case 'word':
        this.#at++;
        if (token.value === 'true' || token.value === 'false') return { type: 'literal', value: token.value === 'true' };
        if (token.value === 'nil') return { type: 'nil' };
        if (!this.#functions.has(token.value)) throw this.#error(`function ${JSON.stringify(token.value)} not defined`);
        return { type: 'function', name: token.value };
      case '(': {
        this.#at++;
        const pipeline = this.#pipeline('parenthesized pipeline');
        this.#skipSpace();
        if (this.#peek()?.type !== ')') throw this.#error('unclosed left paren');
        this.#at++;
        return { type: 'pipeline', pipeline };
      }
      case undefined:
      case 'text':
      case 'open':
      case 'close':
      case ')':
      case '|':
      case ',':
      case '=':
      case ':=':
      case 'space':
        return null;
    }
  }

  #close(): void {
    this.#skipSpace();
    const token = this.#peek();
    if (token?.type !== 'close') {
      const found = token && 'value' in token ? String(token.value) : (token?.type ?? 'EOF');
      throw this.#error(`unexpected ${JSON.stringify(found)} in command`);
    }
    this.#at++;
  }

  #skipSpace(): void {
    while (this.#peek()?.type === 'space') this.#at++;
  }

  #peek(): Token | undefined {
    return this.#tokens[this.#at];
  }

  #error(what: string): Error {
    return templateError(this.#source, this.#peek()?.offset ?? this.#source.length, what);
  }
}
