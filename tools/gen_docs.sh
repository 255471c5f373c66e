#!/bin/sh
# Write the manual pages' sources and the completion scripts from the program's table of commands.
# usage: tools/gen_docs.sh PROGRAM [FOLDER]      FOLDER: the source root unless given; tests give another and compare
set -eu
program=$1
root=${2:-$(cd "$(dirname "$0")/.." && pwd)}
"$program" version >/dev/null # a program that does not run must not empty the files
mkdir -p "$root/man" "$root/completions"
"$program" help --man >"$root/man/logmill.1.scd"
"$program" help --man query >"$root/man/logmill-query.7.scd"
for command in $("$program" help | sed -n '/^commands$/,/^$/s/^  \([a-z]*\) .*/\1/p'); do
    "$program" help --man "$command" >"$root/man/logmill-$command.1.scd"
done
for shell in bash zsh fish; do
    "$program" completion $shell >"$root/completions/logmill.$shell"
done
