# Any mix of files, folders and compressed files comes back byte for byte, with names, times and permission bits.
mkdir -p in/sub
cp "$DATA/app.log" "$DATA/access.log" in
gzip -c in/app.log >in/sub/app.log.gz
bzip2 -c in/access.log >in/sub/access.bz2
xz -c in/app.log >in/sub/app.xz
zstd -qc in/access.log >in/sub/access.zst
: >in/empty
printf 'no newline at the end' >in/short
printf 'crlf\r\nnul\0here\n\xff\xfe\n\n\n' >in/odd
head -c 70000 "$LOGMILL" >in/binary
touch -d '2026-01-02 03:04:05.678901234Z' in/app.log
chmod 640 in/app.log
for level in fast default max; do
    logmill pack -q --level $level in -o $level.lm || echo "pack failed"
    logmill unpack -q $level.lm -o out-$level || echo "unpack failed"
    for name in app.log access.log empty short odd binary; do cmp in/$name out-$level/in/$name; done
    cmp in/app.log out-$level/in/sub/app.log
    cmp in/access.log out-$level/in/sub/access
    cmp in/app.log out-$level/in/sub/app
    stat -c '%n %a %y' out-$level/in/app.log
    logmill verify -q $level.lm || echo "not whole"
done
# The bytes do not depend on threads.
logmill pack -q --threads 1 in -o one.lm
logmill pack -q --threads 4 in -o four.lm
cmp one.lm four.lm
# --raw keeps what is compressed.
logmill pack -q --raw in/sub/app.log.gz -o raw.lm
logmill unpack -q raw.lm -o out-raw
cmp in/sub/app.log.gz out-raw/in/sub/app.log.gz
# Standard input and output.
logmill pack -q -o - <in/app.log | logmill cat - | cmp - in/app.log
# One file by its name; -c to standard output.
logmill unpack -c one.lm in/short
echo
logmill cat one.lm short
echo
# A file that exists is left alone, unless --force.
echo mine >out-fast/in/short
logmill unpack -q fast.lm in/short -o out-fast
echo "$?"
cat out-fast/in/short
logmill unpack -qf fast.lm in/short -o out-fast
echo "$?"
cmp in/short out-fast/in/short
# An archive that exists is left alone, unless --force.
logmill pack in -o one.lm
echo "$?"
logmill pack -qf in/short -o one.lm
logmill ls one.lm --json | sed 's/"modified".*//'
