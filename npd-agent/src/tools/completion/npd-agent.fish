# Completes the command lines of npd-agent: the programs and flags that its --help names.
function __npd_agent_programs
    npd-agent --help 2>/dev/null | string replace -rf '^  npd-agent ([a-z-]+) +(.*)' '$1\t$2'
end
function __npd_agent_flags
    set -l words (commandline -opc)
    set -l program
    if contains -- "$words[2]" (__npd_agent_programs | string split -f1 \t)
        set program $words[2]
    end
    npd-agent $program --help 2>/dev/null | string replace -rf '^  (?:-., |    )(--[a-z0-9.-]+)(?: [A-Z]+)? +(.*)' '$1\t$2'
end
complete -c npd-agent -n 'test (count (commandline -opc)) -eq 1' -a '(__npd_agent_programs)'
complete -c npd-agent -n 'string match -q -- "-*" (commandline -ct)' -a '(__npd_agent_flags)'
