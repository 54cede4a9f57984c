/** How each check of a cluster runs: in a world of its own, with nodes that are gone afterwards. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type ErrorKind, MoorError } from '../../src/base/errors.ts';
import { type ClusterWorld, startedIn, TestNode } from './cluster-world.ts';

export interface ClusterSuite {
  readonly name: string;
  readonly skip?: string | false;
  /** Checks that it cannot pass, by title, and why. */
  readonly without?: Readonly<Record<string, string>>;
  readonly open: () => Promise<ClusterWorld>;
}

type Start = (count: number) => Promise<TestNode[]>;

export const isKind =
  (kind: ErrorKind, text: RegExp) =>
  (error: unknown): boolean => {
    assert.ok(error instanceof MoorError, String(error));
    assert.equal(error.kind, kind, error.message);
    assert.match(error.message, text);
    return true;
  };

export const checker =
  (suite: ClusterSuite) =>
  (title: string, body: (world: ClusterWorld, start: Start) => Promise<void>): void =>
    void test(`cluster on ${suite.name}: ${title}`, { skip: suite.skip || (suite.without?.[title] ?? false) }, async () => {
      await using world = await suite.open();
      const all: TestNode[] = [];
      const start: Start = async (count) => {
        const nodes = Array.from({ length: count }, (_, i) => new TestNode(world, all.length + i + 1));
        all.push(...nodes);
        for (const node of nodes) await node.start();
        return nodes;
      };
      try {
        await body(world, start);
      } finally {
        for (const node of startedIn(world)) {
          node.line.mend();
          await node.cluster[Symbol.asyncDispose]();
          await node.line.kill();
        }
      }
    });
