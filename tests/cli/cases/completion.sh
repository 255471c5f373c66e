# bash completes commands, options, values and files.
command -v bash >/dev/null || { echo "no bash"; exit 77; }
touch alog
cat >try.bash <<'END'
eval "$("$LOGMILL" completion bash)"
try() {
    COMP_WORDS=("$@")
    COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
    _logmill
    echo "$* => ${COMPREPLY[*]}"
}
try logmill se
try logmill pack --le
try logmill pack --level ''
try logmill pack -l f
try logmill search --context ''
try logmill unpack a
try logmill unpack -o a
try logmill help que
try logmill completion z
END
bash try.bash
