# bash completion of logmill
_logmill() {
    local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]} command=${COMP_WORDS[1]}
    COMPREPLY=()
    if [ "$COMP_CWORD" -eq 1 ]; then
        COMPREPLY=($(compgen -W 'pack unpack search templates schema stats verify cat head tail diff ls run config version help completion --help --version' -- "$word"))
        return
    fi
    case $command:$before in
        pack:--output|pack:-o) COMPREPLY=($(compgen -f -- "$word")); return ;;
        pack:--level|pack:-l) COMPREPLY=($(compgen -W 'fast default max' -- "$word")); return ;;
        pack:--start-pattern) return ;;
        pack:--schema) COMPREPLY=($(compgen -f -- "$word")); return ;;
        pack:--templates) COMPREPLY=($(compgen -f -- "$word")); return ;;
        pack:--segment) return ;;
        pack:--threads|pack:-T) return ;;
        pack:--memory) return ;;
        pack:--color) COMPREPLY=($(compgen -W 'auto always never' -- "$word")); return ;;
        unpack:--output|unpack:-o) COMPREPLY=($(compgen -f -- "$word")); return ;;
        unpack:--threads|unpack:-T) return ;;
        unpack:--memory) return ;;
        unpack:--color) COMPREPLY=($(compgen -W 'auto always never' -- "$word")); return ;;
        search:--since|search:-s) return ;;
        search:--until|search:-u) return ;;
        search:--after-context|search:-A) return ;;
        search:--before-context|search:-B) return ;;
        search:--context|search:-C) return ;;
        search:--limit|search:-m) return ;;
        search:--template) return ;;
        search:--count-by) return ;;
        search:--threads|search:-T) return ;;
        search:--memory) return ;;
        search:--color) COMPREPLY=($(compgen -W 'auto always never' -- "$word")); return ;;
        templates:--limit|templates:-n) return ;;
        templates:--assign) COMPREPLY=($(compgen -f -- "$word")); return ;;
        templates:--convergence) COMPREPLY=($(compgen -f -- "$word")); return ;;
        templates:--rules) COMPREPLY=($(compgen -f -- "$word")); return ;;
        templates:--threads|templates:-T) return ;;
        templates:--memory) return ;;
        templates:--color) COMPREPLY=($(compgen -W 'auto always never' -- "$word")); return ;;
        schema:--schema) COMPREPLY=($(compgen -f -- "$word")); return ;;
        schema:--threads|schema:-T) return ;;
        schema:--memory) return ;;
        schema:--color) COMPREPLY=($(compgen -W 'auto always never' -- "$word")); return ;;
        stats:--limit|stats:-n) return ;;
        stats:--threads|stats:-T) return ;;
        stats:--memory) return ;;
        stats:--color) COMPREPLY=($(compgen -W 'auto always never' -- "$word")); return ;;
        verify:--threads|verify:-T) return ;;
        verify:--memory) return ;;
        verify:--color) COMPREPLY=($(compgen -W 'auto always never' -- "$word")); return ;;
        cat:--threads|cat:-T) return ;;
        cat:--memory) return ;;
        cat:--color) COMPREPLY=($(compgen -W 'auto always never' -- "$word")); return ;;
        head:--lines|head:-n) return ;;
        head:--threads|head:-T) return ;;
        head:--memory) return ;;
        head:--color) COMPREPLY=($(compgen -W 'auto always never' -- "$word")); return ;;
        tail:--lines|tail:-n) return ;;
        tail:--threads|tail:-T) return ;;
        tail:--memory) return ;;
        tail:--color) COMPREPLY=($(compgen -W 'auto always never' -- "$word")); return ;;
        diff:--factor|diff:-x) return ;;
        diff:--limit|diff:-n) return ;;
        diff:--threads|diff:-T) return ;;
        diff:--memory) return ;;
        diff:--color) COMPREPLY=($(compgen -W 'auto always never' -- "$word")); return ;;
        ls:--threads|ls:-T) return ;;
        ls:--memory) return ;;
        ls:--color) COMPREPLY=($(compgen -W 'auto always never' -- "$word")); return ;;
        run:--config|run:-c) COMPREPLY=($(compgen -f -- "$word")); return ;;
        run:--listen) return ;;
        run:--data|run:-d) COMPREPLY=($(compgen -f -- "$word")); return ;;
        run:--log-format) COMPREPLY=($(compgen -W 'logfmt json' -- "$word")); return ;;
        run:--threads|run:-T) return ;;
        run:--memory) return ;;
        run:--color) COMPREPLY=($(compgen -W 'auto always never' -- "$word")); return ;;
        config:--threads|config:-T) return ;;
        config:--memory) return ;;
        config:--color) COMPREPLY=($(compgen -W 'auto always never' -- "$word")); return ;;
        version:--threads|version:-T) return ;;
        version:--memory) return ;;
        version:--color) COMPREPLY=($(compgen -W 'auto always never' -- "$word")); return ;;
        help:--threads|help:-T) return ;;
        help:--memory) return ;;
        help:--color) COMPREPLY=($(compgen -W 'auto always never' -- "$word")); return ;;
        completion:--threads|completion:-T) return ;;
        completion:--memory) return ;;
        completion:--color) COMPREPLY=($(compgen -W 'auto always never' -- "$word")); return ;;
    esac
    case $word in
        -*) case $command in
            pack) COMPREPLY=($(compgen -W '--output -o --level -l --force -f --raw --start-pattern --schema --templates --segment --json --threads -T --memory --color --quiet -q --help -h' -- "$word")) ;;
            unpack) COMPREPLY=($(compgen -W '--output -o --stdout -c --force -f --salvage --threads -T --memory --color --quiet -q --help -h' -- "$word")) ;;
            search) COMPREPLY=($(compgen -W '--count -c --json --since -s --until -u --after-context -A --before-context -B --context -C --line-number -n --with-filename -H --no-filename -I --limit -m --newest-first -r --invert-match -v --fixed -F --regex -E --ignore-case -i --records --follow-template --template --count-by --salvage --threads -T --memory --color --quiet -q --help -h' -- "$word")) ;;
            templates) COMPREPLY=($(compgen -W '--limit -n --rare --no-example --json --messages --assign --convergence --rules --threads -T --memory --color --quiet -q --help -h' -- "$word")) ;;
            schema) COMPREPLY=($(compgen -W '--schema --json --threads -T --memory --color --quiet -q --help -h' -- "$word")) ;;
            stats) COMPREPLY=($(compgen -W '--limit -n --all -a --json --threads -T --memory --color --quiet -q --help -h' -- "$word")) ;;
            verify) COMPREPLY=($(compgen -W '--threads -T --memory --color --quiet -q --help -h' -- "$word")) ;;
            cat) COMPREPLY=($(compgen -W '--salvage --threads -T --memory --color --quiet -q --help -h' -- "$word")) ;;
            head) COMPREPLY=($(compgen -W '--lines -n --threads -T --memory --color --quiet -q --help -h' -- "$word")) ;;
            tail) COMPREPLY=($(compgen -W '--lines -n --threads -T --memory --color --quiet -q --help -h' -- "$word")) ;;
            diff) COMPREPLY=($(compgen -W '--factor -x --limit -n --json --threads -T --memory --color --quiet -q --help -h' -- "$word")) ;;
            ls) COMPREPLY=($(compgen -W '--segments --json --threads -T --memory --color --quiet -q --help -h' -- "$word")) ;;
            run) COMPREPLY=($(compgen -W '--config -c --listen --data -d --log-format --threads -T --memory --color --quiet -q --help -h' -- "$word")) ;;
            config) COMPREPLY=($(compgen -W '--effective -e --token -t --threads -T --memory --color --quiet -q --help -h' -- "$word")) ;;
            version) COMPREPLY=($(compgen -W '--threads -T --memory --color --quiet -q --help -h' -- "$word")) ;;
            help) COMPREPLY=($(compgen -W '--man --threads -T --memory --color --quiet -q --help -h' -- "$word")) ;;
            completion) COMPREPLY=($(compgen -W '--threads -T --memory --color --quiet -q --help -h' -- "$word")) ;;
        esac; return ;;
    esac
    case $command in
        help) COMPREPLY=($(compgen -W 'query pack unpack search templates schema stats verify cat head tail diff ls run config version help completion ' -- "$word")) ;;
        completion) COMPREPLY=($(compgen -W 'bash zsh fish' -- "$word")) ;;
        *) COMPREPLY=($(compgen -f -- "$word")) ;;
    esac
}
complete -o filenames -F _logmill logmill
