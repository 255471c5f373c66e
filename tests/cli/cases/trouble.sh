# What goes wrong is said in one line, has its exit code, and leaves nothing behind.
cp "$DATA/app.log" "$DATA/access.log" .
code() { echo "= $?"; }
logmill pack nofile app.log -o a.lm; code
mkdir nothing; logmill pack nothing -o a.lm; code
logmill pack app.log -o no/such/folder.lm; code
logmill pack app.log -o nothing; code
ls a.lm 2>/dev/null
gzip -c app.log | head -c 900 >cut.log.gz
logmill pack -q cut.log.gz access.log -o cut.lm; code
logmill cat cut.lm access.log | cmp - access.log
logmill cat cut.lm cut.log >part; head -c "$(stat -c %s part)" app.log | cmp - part
# A log does not give way to its own archive; what cannot be read is named, and the rest is served.
cp app.log own.log
logmill pack -f access.log own.log -o own.log; code
cmp own.log app.log
mkdir some
cp app.log some/a.log
ln -s /proc/self/mem some/b.log
logmill search -c INFO some; code
logmill schema some >schema.txt; code
logmill pack -q some/b.log -o mem.lm; code
ls mem.lm 2>/dev/null
logmill cat nofile.lm; code
logmill unpack app.log; code
logmill verify app.log; code
logmill pack -q app.log access.log -o a.lm
logmill cat a.lm nosuch.log; code
# A damaged block: named, everything else is served.
size=$(stat -c %s a.lm)
cp a.lm hurt.lm
printf 'damage' | dd of=hurt.lm bs=1 seek=$((size / 3)) conv=notrunc 2>/dev/null
logmill verify hurt.lm 2>hurt.txt; code
grep -q 'damaged' hurt.txt || cat hurt.txt
logmill unpack -q hurt.lm -o hurt 2>/dev/null; code
# The end is lost: said so, and what is left can be had.
head -c $((size - 40)) a.lm >short.lm
logmill ls short.lm; code
logmill verify short.lm; code
logmill unpack -q --salvage short.lm -o short; code
cmp short/app.log app.log
cmp short/access.log access.log
# A full disk, a closed standard output, a limit of the file's size.
logmill cat a.lm >/dev/full; code
logmill search -c INFO a.lm >/dev/full; code
logmill help >/dev/full; code
cat app.log app.log app.log "$LOGMILL" >large
(ulimit -f 20; logmill pack -q large -o full.lm; code)
(ulimit -f 20; logmill unpack -q a.lm -o full; logmill pack -q large -o - >large.lm; code)
logmill cat a.lm | head -1 >/dev/null
# Interrupted: no archive, no temporary file.
(sleep 3; cat app.log) | "$LOGMILL" pack -q -o int.lm &
sleep 1; kill -INT $! 2>/dev/null; wait $! 2>/dev/null
ls -A | grep -e int -e full.lm -e "tmp$" | grep -v "^.tmp$"
# Not more memory than allowed.
logmill search --memory 100K INFO a.lm; code
