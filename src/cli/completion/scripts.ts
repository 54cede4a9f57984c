/**
 * What the shells load. All of them ask `moor __complete SHELL WORD…` (the words after `moor`, the last one being typed), whose first line says
 * what the rest is: `words` (a candidate a line, tab, help), `file`, or `command N` (a command line of somebody else from word N on).
 */

const BASH = `# bash completion for moor
_moor() {
  local IFS=$'\\n' kind line cur=$2
  local -a answer
  mapfile -t answer < <("$1" __complete bash "\${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)
  kind=\${answer[0]-words}
  COMPREPLY=()
  case $kind in
    file)
      compopt -o filenames
      [[ $cur == '=' ]] && cur=
      COMPREPLY=($(compgen -f -- "$cur"))
      ;;
    command*)
      if declare -F _command_offset >/dev/null; then
        _command_offset "$((\${kind#command } + 1))"
      elif ((COMP_CWORD == \${kind#command } + 1)); then
        COMPREPLY=($(compgen -c -- "$cur"))
      else
        compopt -o filenames
        COMPREPLY=($(compgen -f -- "$cur"))
      fi
      ;;
    *)
      for line in "\${answer[@]:1}"; do
        line=\${line%%$'\\t'*}
        [[ $line == *= ]] && compopt -o nospace
        COMPREPLY+=("$line")
      done
      ;;
  esac
}
complete -F _moor moor
`;

const ZSH = `#compdef moor
_moor() {
  local -a answer candidates
  local line word help
  answer=("\${(@f)$($words[1] __complete zsh "\${(@)words[2,CURRENT]}" 2>/dev/null)}")
  case $answer[1] in
    file)
      [[ $PREFIX == -*=* ]] && compset -P '*='
      _files
      ;;
    command*)
      shift $(( \${answer[1]#command } + 1 )) words
      (( CURRENT -= \${answer[1]#command } + 1 ))
      _normal
      ;;
    *)
      for line in "\${(@)answer[2,-1]}"; do
        word=\${line%%$'\\t'*}
        help=\${line#*$'\\t'}
        candidates+=("\${word//:/\\\\:}\${help:+:$help}")
      done
      _describe -t moor moor candidates
      ;;
  esac
}
if [[ $funcstack[1] == _moor ]]; then
  _moor "$@"
else
  compdef _moor moor
fi
`;

const FISH = `# fish completion for moor
function __moor_complete
    set -l words (commandline -opc) (commandline -ct)
    set -l answer (command $words[1] __complete fish $words[2..-1] 2>/dev/null)
    switch "$answer[1]"
        case file
            set -l option (string match -r '^-[^=]*=' -- (commandline -ct))
            for path in (__fish_complete_path (string replace -r '^-[^=]*=' '' -- (commandline -ct)))
                echo -- "$option$path"
            end
        case 'command*'
            set -l skip (math (string replace 'command ' '' -- $answer[1]) + 1)
            __fish_complete_subcommand --fcs-skip=$skip
        case '*'
            printf '%s\\n' $answer[2..-1]
    end
end
complete -c moor -f -a '(__moor_complete)'
`;

export const SCRIPTS = { bash: BASH, zsh: ZSH, fish: FISH } as const;
export type Shell = keyof typeof SCRIPTS;
export const isShell = (text: string): text is Shell => Object.hasOwn(SCRIPTS, text);
