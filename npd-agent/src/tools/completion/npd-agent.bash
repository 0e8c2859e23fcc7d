# Completes the command lines of npd-agent: the programs and flags that its --help names, else files.
_npd_agent() {
    local agent=${COMP_WORDS[0]} current=${COMP_WORDS[COMP_CWORD]} program= programs
    programs=$("$agent" --help 2>/dev/null | sed -n 's/^  npd-agent \([a-z-]*\) .*/\1/p')
    if [ "$COMP_CWORD" -gt 1 ] && grep -qxF -- "${COMP_WORDS[1]}" <<<"$programs"; then
        program=${COMP_WORDS[1]}
    fi
    case $current in
        -*) COMPREPLY=($(compgen -W "$("$agent" $program --help 2>/dev/null |
                sed -n 's/^  \(-., \|    \)\(--[a-z0-9.-]*\).*/\2/p')" -- "$current")) ;;
        *) if [ "$COMP_CWORD" -eq 1 ]; then
               COMPREPLY=($(compgen -W "$programs" -- "$current"))
           else
               COMPREPLY=($(compgen -f -- "$current"))
           fi ;;
    esac
}
complete -o filenames -F _npd_agent npd-agent
