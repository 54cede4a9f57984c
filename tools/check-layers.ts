/**
 * Fails when src/ imports what the design does not allow. tools/layers/table.ts is the table, tools/layers/rules.ts the rules.
 *
 * Usage: node tools/check-layers.ts
 */
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { readTree } from './layers/read.ts';
import { readDesign, violations } from './layers/rules.ts';
import { LAYERS } from './layers/table.ts';

const root = resolve(import.meta.dirname, '..');
const files = readTree(resolve(root, 'src'));
const design = readDesign(readFileSync(resolve(root, 'docs/architecture.md'), 'utf8'));
const faults = violations({ files, layers: LAYERS, design });
for (const fault of faults) console.error(fault);
const imports = files.reduce((sum, file) => sum + file.imports.length, 0);
console.log(`layers: ${files.length} files, ${imports} imports, ${faults.length} violations`);
if (faults.length > 0) process.exitCode = 1;
