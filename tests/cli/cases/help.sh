# --help, help COMMAND and the manual page name the same options; every command has an example.
commands=$(logmill --help | sed -n '/^commands$/,/^$/s/^  \([a-z]*\) .*/\1/p')
echo $commands
for command in $commands; do
    logmill "$command" --help >long
    logmill help "$command" >other
    cmp long other
    logmill help --man "$command" | sed 's/\\//g' >page
    grep -q '^  logmill ' long || echo "$command has no example"
    for option in $(grep -o -e '^  \(-., \|    \)--[a-z-]*' long | grep -o -e '--[a-z-]*'); do
        grep -q -e "$option" page || echo "$option of $command is not in the manual page"
        grep -q -e "--\{0,1\}${option#--}" "$SOURCE/completions/logmill.bash" || echo "$option is not in the completion"
    done
done
# The files in the source tree are what the program prints now.
"$SOURCE/tools/gen_docs.sh" "$LOGMILL" .
diff -r man "$SOURCE/man" | grep -v '^Only in .*: meson.build$'
diff -r completions "$SOURCE/completions"
bash -n completions/logmill.bash
if command -v scdoc >/dev/null && command -v mandoc >/dev/null; then
    for page in man/*.scd; do
        scdoc <"$page" >page.1 && mandoc -Tlint -W error page.1
    done
fi
exit 0
