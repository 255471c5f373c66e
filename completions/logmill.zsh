#compdef logmill
_logmill() {
    local -a commands=(
        'pack:pack logs into one small archive that can be searched'
        'unpack:give back the files, byte for byte, with names and times'
        'search:find lines, without unpacking'
        'templates:what the programs printed, with the variables taken out'
        'schema:what the lines are made of\: formats, fields, types, examples'
        'stats:where the bytes went, and what each encoding saved'
        'verify:check every checksum; name what is damaged'
        'cat:write the text to standard output'
        'head:the first lines'
        'tail:the last lines'
        'diff:what changed between two archives or logs\: events new, gone, more, fewer'
        'ls:list the files of an archive'
        'run:the daemon\: take logs from shippers, answer Loki'\''s API'
        'config:check or show the daemon'\''s configuration; hash a secret for it'
        'version:version, and what is in this build'
        'help:help on a command, or on the query language'
        'completion:completion for your shell'
    )
    if (( CURRENT == 2 )); then
        _describe command commands
        return
    fi
    local command=$words[2]
    shift words
    (( CURRENT-- ))
    case $command in
        pack) _arguments -s \
            '(-o --output)'{-o,--output}'[name of the archive; - writes it to standard output]:output:_files' \
            '(-l --level)'{-l,--level}'[how hard to try\: fast keeps up with incoming logs, max is for cold archives]:level:(fast default max)' \
            '(-f --force)'{-f,--force}'[replace ARCHIVE if it exists]' \
            '--raw[store compressed files as they are instead of the text inside]' \
            '--start-pattern[a record begins at lines that match REGEX (found out unless given)]:start-pattern: ' \
            '--schema[YAML that gives or corrects formats]:schema:_files' \
            '--templates[YAML that pins, names, merges or splits templates]:templates:_files' \
            '--segment[text in one segment (chosen by the level unless given)]:segment: ' \
            '--json[print the summary as JSON on standard output]' \
            '(-T --threads)'{-T,--threads}'[use N threads; 0\: one per CPU (the default); results do not depend on it]:threads: ' \
            '--memory[allocate at most SIZE (256MiB unless given)]:memory: ' \
            '--color[colour the output; auto\: on a terminal, unless NO_COLOR is set]:color:(auto always never)' \
            '(-q --quiet)'{-q,--quiet}'[no progress and no notes, only errors]' \
            '(-h --help)'{-h,--help}'[show this help]' \
            '*:file:_files' ;;
        unpack) _arguments -s \
            '(-o --output)'{-o,--output}'[where to; the current folder unless given]:output:_files' \
            '(-c --stdout)'{-c,--stdout}'[write the text to standard output instead]' \
            '(-f --force)'{-f,--force}'[replace files that exist]' \
            '--salvage[also from an archive whose end is lost or damaged]' \
            '(-T --threads)'{-T,--threads}'[use N threads; 0\: one per CPU (the default); results do not depend on it]:threads: ' \
            '--memory[allocate at most SIZE (256MiB unless given)]:memory: ' \
            '--color[colour the output; auto\: on a terminal, unless NO_COLOR is set]:color:(auto always never)' \
            '(-q --quiet)'{-q,--quiet}'[no progress and no notes, only errors]' \
            '(-h --help)'{-h,--help}'[show this help]' \
            '*:file:_files' ;;
        search) _arguments -s \
            '(-c --count)'{-c,--count}'[print the number of matching lines, nothing else]' \
            '--json[print one JSON object a line, with time, template and fields]' \
            '(-s --since)'{-s,--since}'[only records from TIME on\: 2h, 15m, yesterday, 2026-11-23T13\:00]:since: ' \
            '(-u --until)'{-u,--until}'[only records before TIME]:until: ' \
            '(-A --after-context)'{-A,--after-context}'[also print N lines after each match]:after-context: ' \
            '(-B --before-context)'{-B,--before-context}'[also print N lines before each match]:before-context: ' \
            '(-C --context)'{-C,--context}'[also print N lines around each match]:context: ' \
            '(-n --line-number)'{-n,--line-number}'[print line numbers]' \
            '(-H --with-filename)'{-H,--with-filename}'[print file names also if there is one file only]' \
            '(-I --no-filename)'{-I,--no-filename}'[print no file names]' \
            '(-m --limit)'{-m,--limit}'[stop after N matches]:limit: ' \
            '(-r --newest-first)'{-r,--newest-first}'[print the last match first]' \
            '(-v --invert-match)'{-v,--invert-match}'[print the lines that do not match]' \
            '(-F --fixed)'{-F,--fixed}'[QUERY is text, whatever signs are in it]' \
            '(-E --regex)'{-E,--regex}'[QUERY is a regular expression (PCRE2)]' \
            '(-i --ignore-case)'{-i,--ignore-case}'[upper and lower case are the same (for text, -F and -E)]' \
            '--records[print whole records (a stack trace with its first line) if any of their lines matches]' \
            '--follow-template[print every line of the templates that the matches belong to, matching or not]' \
            '--template[only lines of this template (numbers as '\''logmill templates'\'' shows them)]:template: ' \
            '--count-by[count matches by template, level, another field, or time (1m, 1h, 1d)]:count-by: ' \
            '--salvage[also search an archive whose end is lost or damaged]' \
            '(-T --threads)'{-T,--threads}'[use N threads; 0\: one per CPU (the default); results do not depend on it]:threads: ' \
            '--memory[allocate at most SIZE (256MiB unless given)]:memory: ' \
            '--color[colour the output; auto\: on a terminal, unless NO_COLOR is set]:color:(auto always never)' \
            '(-q --quiet)'{-q,--quiet}'[no progress and no notes, only errors]' \
            '(-h --help)'{-h,--help}'[show this help]' \
            '1:query: ' '*:file:_files' ;;
        templates) _arguments -s \
            '(-n --limit)'{-n,--limit}'[only the N templates with the most lines]:limit: ' \
            '--rare[fewest lines first\: what happens seldom is what you look for]' \
            '--no-example[leave the examples out]' \
            '--json[print one JSON object a line]' \
            '--messages[the file holds one bare message a line, without time and level in front]' \
            '--assign[print, for each line of FILE, the number and the text of its template (tab between)]:assign:_files' \
            '--convergence[report how steady templates are\: with several threads, and as lines come in]:convergence:_files' \
            '--rules[YAML that pins, names, merges or splits templates (with --assign)]:rules:_files' \
            '(-T --threads)'{-T,--threads}'[use N threads; 0\: one per CPU (the default); results do not depend on it]:threads: ' \
            '--memory[allocate at most SIZE (256MiB unless given)]:memory: ' \
            '--color[colour the output; auto\: on a terminal, unless NO_COLOR is set]:color:(auto always never)' \
            '(-q --quiet)'{-q,--quiet}'[no progress and no notes, only errors]' \
            '(-h --help)'{-h,--help}'[show this help]' \
            '*:file:_files' ;;
        schema) _arguments -s \
            '--schema[YAML that gives or corrects formats]:schema:_files' \
            '--json[print one JSON object a line]' \
            '(-T --threads)'{-T,--threads}'[use N threads; 0\: one per CPU (the default); results do not depend on it]:threads: ' \
            '--memory[allocate at most SIZE (256MiB unless given)]:memory: ' \
            '--color[colour the output; auto\: on a terminal, unless NO_COLOR is set]:color:(auto always never)' \
            '(-q --quiet)'{-q,--quiet}'[no progress and no notes, only errors]' \
            '(-h --help)'{-h,--help}'[show this help]' \
            '*:file:_files' ;;
        stats) _arguments -s \
            '(-n --limit)'{-n,--limit}'[show the N largest parts (10 unless given)]:limit: ' \
            '(-a --all)'{-a,--all}'[show every part]' \
            '--json[print one JSON object a line]' \
            '(-T --threads)'{-T,--threads}'[use N threads; 0\: one per CPU (the default); results do not depend on it]:threads: ' \
            '--memory[allocate at most SIZE (256MiB unless given)]:memory: ' \
            '--color[colour the output; auto\: on a terminal, unless NO_COLOR is set]:color:(auto always never)' \
            '(-q --quiet)'{-q,--quiet}'[no progress and no notes, only errors]' \
            '(-h --help)'{-h,--help}'[show this help]' \
            '*:file:_files' ;;
        verify) _arguments -s \
            '(-T --threads)'{-T,--threads}'[use N threads; 0\: one per CPU (the default); results do not depend on it]:threads: ' \
            '--memory[allocate at most SIZE (256MiB unless given)]:memory: ' \
            '--color[colour the output; auto\: on a terminal, unless NO_COLOR is set]:color:(auto always never)' \
            '(-q --quiet)'{-q,--quiet}'[no progress and no notes, only errors]' \
            '(-h --help)'{-h,--help}'[show this help]' \
            '*:file:_files' ;;
        cat) _arguments -s \
            '--salvage[also from an archive whose end is lost or damaged]' \
            '(-T --threads)'{-T,--threads}'[use N threads; 0\: one per CPU (the default); results do not depend on it]:threads: ' \
            '--memory[allocate at most SIZE (256MiB unless given)]:memory: ' \
            '--color[colour the output; auto\: on a terminal, unless NO_COLOR is set]:color:(auto always never)' \
            '(-q --quiet)'{-q,--quiet}'[no progress and no notes, only errors]' \
            '(-h --help)'{-h,--help}'[show this help]' \
            '*:file:_files' ;;
        head) _arguments -s \
            '(-n --lines)'{-n,--lines}'[N lines (10 unless given); -N is short for it]:lines: ' \
            '(-T --threads)'{-T,--threads}'[use N threads; 0\: one per CPU (the default); results do not depend on it]:threads: ' \
            '--memory[allocate at most SIZE (256MiB unless given)]:memory: ' \
            '--color[colour the output; auto\: on a terminal, unless NO_COLOR is set]:color:(auto always never)' \
            '(-q --quiet)'{-q,--quiet}'[no progress and no notes, only errors]' \
            '(-h --help)'{-h,--help}'[show this help]' \
            '*:file:_files' ;;
        tail) _arguments -s \
            '(-n --lines)'{-n,--lines}'[N lines (10 unless given); -N is short for it]:lines: ' \
            '(-T --threads)'{-T,--threads}'[use N threads; 0\: one per CPU (the default); results do not depend on it]:threads: ' \
            '--memory[allocate at most SIZE (256MiB unless given)]:memory: ' \
            '--color[colour the output; auto\: on a terminal, unless NO_COLOR is set]:color:(auto always never)' \
            '(-q --quiet)'{-q,--quiet}'[no progress and no notes, only errors]' \
            '(-h --help)'{-h,--help}'[show this help]' \
            '*:file:_files' ;;
        diff) _arguments -s \
            '(-x --factor)'{-x,--factor}'[show templates whose share changed at least N times (2 unless given)]:factor: ' \
            '(-n --limit)'{-n,--limit}'[at most N of each kind (20 unless given; 0\: all)]:limit: ' \
            '--json[print one JSON object a line]' \
            '(-T --threads)'{-T,--threads}'[use N threads; 0\: one per CPU (the default); results do not depend on it]:threads: ' \
            '--memory[allocate at most SIZE (256MiB unless given)]:memory: ' \
            '--color[colour the output; auto\: on a terminal, unless NO_COLOR is set]:color:(auto always never)' \
            '(-q --quiet)'{-q,--quiet}'[no progress and no notes, only errors]' \
            '(-h --help)'{-h,--help}'[show this help]' \
            '*:file:_files' ;;
        ls) _arguments -s \
            '--segments[list segments instead\: place, sizes, lines, times, level]' \
            '--json[print one JSON object a line]' \
            '(-T --threads)'{-T,--threads}'[use N threads; 0\: one per CPU (the default); results do not depend on it]:threads: ' \
            '--memory[allocate at most SIZE (256MiB unless given)]:memory: ' \
            '--color[colour the output; auto\: on a terminal, unless NO_COLOR is set]:color:(auto always never)' \
            '(-q --quiet)'{-q,--quiet}'[no progress and no notes, only errors]' \
            '(-h --help)'{-h,--help}'[show this help]' \
            '*:file:_files' ;;
        run) _arguments -s \
            '(-c --config)'{-c,--config}'[configuration in YAML (docs/daemon.md)]:config:_files' \
            '--listen[listen here instead; port 0\: any free one; no syslog unless FILE has it]:listen: ' \
            '(-d --data)'{-d,--data}'[store here instead]:data:_files' \
            '--log-format[form of its own log]:log-format:(logfmt json)' \
            '(-T --threads)'{-T,--threads}'[use N threads; 0\: one per CPU (the default); results do not depend on it]:threads: ' \
            '--memory[allocate at most SIZE (256MiB unless given)]:memory: ' \
            '--color[colour the output; auto\: on a terminal, unless NO_COLOR is set]:color:(auto always never)' \
            '(-q --quiet)'{-q,--quiet}'[no progress and no notes, only errors]' \
            '(-h --help)'{-h,--help}'[show this help]' \
            '*:file:_files' ;;
        config) _arguments -s \
            '(-e --effective)'{-e,--effective}'[show defaults too]' \
            '(-t --token)'{-t,--token}'[hash a token, not a password]' \
            '(-T --threads)'{-T,--threads}'[use N threads; 0\: one per CPU (the default); results do not depend on it]:threads: ' \
            '--memory[allocate at most SIZE (256MiB unless given)]:memory: ' \
            '--color[colour the output; auto\: on a terminal, unless NO_COLOR is set]:color:(auto always never)' \
            '(-q --quiet)'{-q,--quiet}'[no progress and no notes, only errors]' \
            '(-h --help)'{-h,--help}'[show this help]' \
            '*:file:_files' ;;
        version) _arguments -s \
            '(-T --threads)'{-T,--threads}'[use N threads; 0\: one per CPU (the default); results do not depend on it]:threads: ' \
            '--memory[allocate at most SIZE (256MiB unless given)]:memory: ' \
            '--color[colour the output; auto\: on a terminal, unless NO_COLOR is set]:color:(auto always never)' \
            '(-q --quiet)'{-q,--quiet}'[no progress and no notes, only errors]' \
            '(-h --help)'{-h,--help}'[show this help]' \
            '*:file:_files' ;;
        help) _arguments -s \
            '--man[print the manual page'\''s source (scdoc) instead]' \
            '(-T --threads)'{-T,--threads}'[use N threads; 0\: one per CPU (the default); results do not depend on it]:threads: ' \
            '--memory[allocate at most SIZE (256MiB unless given)]:memory: ' \
            '--color[colour the output; auto\: on a terminal, unless NO_COLOR is set]:color:(auto always never)' \
            '(-q --quiet)'{-q,--quiet}'[no progress and no notes, only errors]' \
            '(-h --help)'{-h,--help}'[show this help]' \
            '1:command:(query ${commands%%:*})' ;;
        completion) _arguments -s \
            '(-T --threads)'{-T,--threads}'[use N threads; 0\: one per CPU (the default); results do not depend on it]:threads: ' \
            '--memory[allocate at most SIZE (256MiB unless given)]:memory: ' \
            '--color[colour the output; auto\: on a terminal, unless NO_COLOR is set]:color:(auto always never)' \
            '(-q --quiet)'{-q,--quiet}'[no progress and no notes, only errors]' \
            '(-h --help)'{-h,--help}'[show this help]' \
            '1:shell:(bash zsh fish)' ;;
    esac
}
if [ "$funcstack[1]" = _logmill ]; then _logmill "$@"; else compdef _logmill logmill; fi
