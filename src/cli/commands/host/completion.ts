import { invalid } from '../../../base/errors.ts';
import { defineCommand } from '../../command.ts';
import { isShell, SCRIPTS } from '../../completion/scripts.ts';

export const completion = defineCommand({
  name: 'completion',
  summary: 'Print the completion script for a shell',
  section: 'Other',
  arguments: [{ name: 'SHELL', completion: Object.keys(SCRIPTS) }],
  options: {},
  examples: [
    { command: 'source <(moor completion bash)', what: 'for this bash; put it into ~/.bashrc for every one' },
    { command: 'moor completion zsh > ~/.zfunc/_moor', what: 'for zsh, when ~/.zfunc is in fpath' },
    { command: 'moor completion fish > ~/.config/fish/completions/moor.fish', what: 'for fish' },
  ],
  run: async ({ terminal }, [shell = '']) => {
    if (!isShell(shell)) throw invalid(`unknown shell ${shell}: expected one of ${Object.keys(SCRIPTS).join(', ')}`);
    terminal.out.write(SCRIPTS[shell]);
  },
});
