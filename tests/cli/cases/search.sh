# Answers are those of grep over the text.
cp "$DATA/app.log" "$DATA/access.log" .
logmill pack -q app.log access.log -o two.lm
logmill pack -q app.log -o app.lm
same() { # what the program says, what grep says
    if [ "$1" = "$2" ]; then echo "same"; else printf 'differ:\n%s\n---\n%s\n' "$1" "$2"; fi
}
same "$(logmill search timeout app.lm)" "$(grep -F timeout app.log)"
same "$(logmill search -c timeout app.lm)" "$(grep -cF timeout app.log)"
same "$(logmill search -n 'cache holds' app.lm)" "$(grep -n 'cache holds' app.log)"
same "$(logmill search -nH timeout app.log)" "$(grep -nH timeout app.log)"
same "$(logmill search -n -C 2 'blk_' app.lm)" "$(grep -n -C 2 'blk_' app.log)"
same "$(logmill search -n -B 3 'refused' app.lm)" "$(grep -n -B 3 'refused' app.log)"
same "$(logmill search -n -A 1 'Store.java' app.lm)" "$(grep -n -A 1 'Store.java' app.log)"
same "$(logmill search -n -C 1 'took' app.lm)" "$(grep -n -C 1 'took' app.log)"
same "$(logmill search -v INFO app.lm)" "$(grep -v INFO app.log)"
same "$(logmill search -i 'CONNECTION refused' app.lm)" "$(grep -i 'CONNECTION refused' app.log)"
same "$(logmill search -F '[main]' app.lm)" "$(grep -F '[main]' app.log)"
same "$(logmill search -E 'took [0-9]{3} ms$' app.lm)" "$(grep -E 'took [0-9]{3} ms$' app.log)"
same "$(logmill search -m 3 timeout app.lm)" "$(grep -m 3 timeout app.log)"
same "$(logmill search -r timeout app.lm)" "$(grep timeout app.log | tac)"
same "$(logmill search '|= "timeout" != "replica-1"' app.lm)" "$(grep timeout app.log | grep -v replica-1)"
same "$(logmill search '|= "timeout" or "refused"' app.lm)" "$(grep -e timeout -e refused app.log)"
same "$(logmill search --since 2026-11-20T09:00 --until 2026-11-20T10:00 INFO app.lm)" "$(grep ' 09:.*INFO' app.log)"
same "$(logmill search -c 'status>=500' two.lm)" "$(grep -c '" 5[0-9][0-9] ' access.log)"
same "$(logmill search -c 'level=warn' two.lm)" "$(grep -c ' WARN ' app.log)"
# Several archives, logs, standard input, a folder.
mkdir folder && cp app.lm access.log folder
same "$(logmill search -c 2026 app.lm two.lm)" "$((2 * $(grep -c 2026 app.log) + $(grep -c 2026 access.log)))"
same "$(logmill search -c 2026 folder)" "$(($(grep -c 2026 app.log) + $(grep -c 2026 access.log)))"
same "$(logmill search timeout <app.log)" "$(grep timeout app.log)"
same "$(gzip -c app.log | logmill search -c timeout)" "$(grep -c timeout app.log)"
same "$(logmill search -I timeout app.lm app.lm | sort)" "$(cat app.log app.log | grep timeout | sort)"
logmill search -m 1 -n refused app.lm two.lm
logmill search -m 1 -H refused app.lm
# Whole records, templates to follow, groups.
same "$(logmill search --records 'Store.java' app.lm)" "$(grep -A 3 'cannot write' app.log | grep -v '^--$')"
same "$(logmill search --follow-template 'blk_' app.lm | grep -c 'cannot write')" "$(grep -c 'cannot write' app.log)"
logmill search 'status>=100' two.lm --count-by status
logmill search ERROR app.lm --count-by 1h
logmill search timeout app.lm --count-by template
# JSON.
logmill search --json -m 1 refused app.lm
logmill search --json -c refused app.lm
# Exit codes: found, not found, a missing file beside one that is there, a wrong query.
logmill search nothere app.lm; echo $?
logmill search -c nothere app.lm; echo $?
logmill search -c timeout nofile.lm app.lm; echo $?
logmill search '|= "open' app.lm; echo $?
logmill search -s nonsense x app.lm; echo $?
logmill search --template 9999 x app.lm; echo $?
