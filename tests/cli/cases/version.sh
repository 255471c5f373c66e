# Both spellings; nothing but facts.
logmill version >a
logmill --version >b
cmp a b
head -1 a
grep -c ': ' a | sed -E 's,^([4-9]|1[0-9])$,facts,'
logmill version extra
echo $?
