/** Go templates as Docker users write them after `--format`: parsed once, rendered for many values. */
import { invalid, MoorError } from '../../base/errors.ts';
import { FUNCTIONS, type TemplateFunction } from './functions.ts';
import { type BlockNode, parseTemplate, type Node, type Operand, type Pipeline, type Stage } from './parse.ts';
import { lineOf } from './token.ts';
import { GoStruct, isMap, isTrue, printValue, sortedEntries, typeName } from './value.ts';

/** Renders one value. @throws invalid in Go's words */
export type Template = (value: unknown) => string;

export interface TemplateOptions {
  /** Replace functions of the same name, as Docker does for the header of a table. */
  readonly functions?: Readonly<Record<string, TemplateFunction>>;
}

/** @throws invalid when the text is no template */
export function compileTemplate(source: string, options: TemplateOptions = {}): Template {
  const functions = new Map([...FUNCTIONS, ...Object.entries(options.functions ?? {})]);
  const nodes = parseTemplate(source, new Set(functions.keys()));
  return (value) => {
    const evaluation = new Evaluation(source, functions, value);
    evaluation.run(nodes, value);
    return evaluation.output.join('');
  };
}

interface Variable {
  readonly name: string;
  value: unknown;
}

/** How a list of nodes ended: by itself, or by a word that concerns the range around it. */
type Flow = 'next' | 'break' | 'continue';

class Evaluation {
  readonly output: string[] = [];
  readonly #source: string;
  readonly #functions: ReadonlyMap<string, TemplateFunction>;
  /** Innermost last; `$` is the value the template was started with. */
  readonly #variables: Variable[];

  constructor(source: string, functions: ReadonlyMap<string, TemplateFunction>, root: unknown) {
    this.#source = source;
    this.#functions = functions;
    this.#variables = [{ name: '', value: root }];
  }

  run(nodes: readonly Node[], dot: unknown): Flow {
    const depth = this.#variables.length;
    try {
      for (const node of nodes) {
        const flow = this.#node(node, dot);
        if (flow !== 'next') return flow;
      }
      return 'next';
    } finally {
      this.#variables.length = depth;
    }
  }

  #node(node: Node, dot: unknown): Flow {
    switch (node.type) {
      case 'text':
        this.output.push(node.value);
        return 'next';
      case 'action': {
        const value = this.#pipeline(node.pipeline, dot);
        if (node.pipeline.variables.length === 0)
          this.output.push(value === undefined || value === null ? '<no value>' : printValue(value));
        else this.#set(node.pipeline, value);
        return 'next';
      }
      case 'if':
      case 'with': {
        const depth = this.#variables.length;
        const value = this.#pipeline(node.pipeline, dot);
        if (node.pipeline.variables.length > 0) this.#set(node.pipeline, value);
        const flow = isTrue(value) ? this.run(node.body, node.type === 'with' ? value : dot) : this.run(node.otherwise, dot);
        this.#variables.length = depth;
        return flow;
      }
      case 'range':
        return this.#range(node, dot);
      case 'break':
      case 'continue':
        return node.type;
    }
  }

  #range(node: BlockNode, dot: unknown): Flow {
    const value = this.#pipeline(node.pipeline, dot);
    const entries = this.#entries(value, node.pipeline);
    if (entries.length === 0) return this.run(node.otherwise, dot);
    const depth = this.#variables.length;
    for (const [key, element] of entries) {
      const [first, second] = node.pipeline.variables;
      if (first !== undefined && second !== undefined)
        this.#variables.push({ name: first, value: key }, { name: second, value: element });
      else if (first !== undefined) this.#variables.push({ name: first, value: element });
      const flow = this.run(node.body, element);
      this.#variables.length = depth;
      if (flow === 'break') break;
    }
    return 'next';
  }

  #entries(value: unknown, pipeline: Pipeline): readonly (readonly [key: unknown, element: unknown])[] {
    if (Array.isArray(value)) return [...value.entries()];
    if (isMap(value)) return sortedEntries(value);
    if (typeof value === 'number') return Array.from({ length: value }, (_, i) => [i, i]);
    if (value === null || value === undefined) return [];
    throw this.#error(pipeline.stages[0], `range can't iterate over ${printValue(value)}`);
  }

  #set({ variables, assigns }: Pipeline, value: unknown): void {
    const name = variables[0] ?? '';
    if (assigns) this.#variable(name).value = value;
    else this.#variables.push({ name, value });
  }

  #variable(name: string): Variable {
    const found = this.#variables.findLast((variable) => variable.name === name);
    if (!found) throw invalid(`template parsing error: template: :1: undefined variable "$${name}"`);
    return found;
  }

  #pipeline(pipeline: Pipeline, dot: unknown): unknown {
    let value: unknown;
    for (const [i, stage] of pipeline.stages.entries()) value = this.#stage(stage, dot, i === 0 ? [] : [value]);
    return value;
  }

  /** @param piped the value of the stage before, as the last argument */
  #stage(stage: Stage, dot: unknown, piped: readonly unknown[]): unknown {
    const [head, ...rest] = stage.operands;
    if (!head) return undefined;
    const args = (): readonly unknown[] => [...rest.map((operand) => this.#operand(stage, operand, dot)), ...piped];
    if (head.type === 'function') return this.#call(stage, this.#functions.get(head.name), args());
    if (head.type === 'chain') {
      const value = this.#chain(stage, head, dot);
      if (typeof value === 'function') return this.#call(stage, value as TemplateFunction, args());
      if (rest.length + piped.length === 0) return value;
      throw this.#error(stage, `${head.fields.at(-1)} has arguments but cannot be invoked as function`);
    }
    if (rest.length + piped.length > 0)
      throw this.#error(stage, `can't give argument to non-function ${stage.source.split(/\s/)[0]}`);
    return this.#operand(stage, head, dot);
  }

  #operand(stage: Stage, operand: Operand, dot: unknown): unknown {
    switch (operand.type) {
      case 'dot':
        return dot;
      case 'nil':
        return null;
      case 'literal':
        return operand.value;
      case 'variable':
        return this.#variable(operand.name).value;
      case 'function':
        return this.#call(stage, this.#functions.get(operand.name), []);
      case 'pipeline':
        return this.#pipeline(operand.pipeline, dot);
      case 'chain': {
        const value = this.#chain(stage, operand, dot);
        return typeof value === 'function' ? this.#call(stage, value as TemplateFunction, []) : value;
      }
    }
  }

  #chain(stage: Stage, chain: Extract<Operand, { type: 'chain' }>, dot: unknown): unknown {
    let value = this.#operand(stage, chain.base, dot);
    for (const name of chain.fields) value = this.#field(stage, value, name);
    return value;
  }

  #field(stage: Stage, value: unknown, name: string): unknown {
    if (value instanceof GoStruct) {
      if (value.fields.has(name)) return value.fields.get(name);
      // Docker tries the plain JSON when the typed value has no such field: `{{.Id}}` works beside `{{.ID}}`.
      if (isMap(value.json) && Object.hasOwn(value.json, name)) return value.json[name];
      throw this.#error(stage, `map has no entry for key ${JSON.stringify(name)}`);
    }
    if (isMap(value)) return Object.hasOwn(value, name) ? value[name] : undefined;
    if (value === undefined || value === null) throw this.#error(stage, `nil data; no entry for key ${JSON.stringify(name)}`);
    throw this.#error(stage, `can't evaluate field ${name} in type ${typeName(value)}`);
  }

  #call(stage: Stage, called: TemplateFunction | undefined, args: readonly unknown[]): unknown {
    if (!called) return undefined;
    try {
      return called(...args);
    } catch (error) {
      if (error instanceof MoorError && !error.message.startsWith('template')) throw this.#error(stage, error.message);
      throw error;
    }
  }

  #error(stage: Stage | undefined, what: string): Error {
    const offset = stage?.offset ?? 0;
    const line = lineOf(this.#source, offset);
    const column = offset - (this.#source.lastIndexOf('\n', offset - 1) + 1);
    return invalid(`template: :${line}:${column}: executing "" at <${stage?.source ?? ''}>: ${what}`);
  }
}
