# Wrong words get one clear line, a suggestion where one is near, and exit code 2.
try() { logmill "$@"; echo "$? $*"; }
try
try serach x
try grep x
try xyzzy
try --threads 2 pack
try pack --forse
try pack -forse
try pack
try pack a.log
try search
try search x --contxt 3 f
try search -Z x f
try search --limit abc x f
try search --limit
try search -m 0 x f
try search --count-by 5q x f
try search -c --count-by level x f
try search -F -E x f
try search -i 'level=error' f
try search -r -C 2 x f
try search --json=yes x f
try pack --level fastt x -o y
try pack --memory 3q a -o b
try unpack
try diff a
try diff -x 1 a b
try ls --segmens a
try verify
try cat
try schema
try completion tcsh
try completion
try help nothing
try templates --messages f
try templates --assign a b
