# What people look at: templates, schema, stats, diff, ls, head, tail.
cp "$DATA/app.log" "$DATA/access.log" .
touch -d '2026-11-21 00:00:00Z' app.log access.log
logmill pack -q app.log access.log -o a.lm
logmill ls a.lm
logmill head -2 a.lm
logmill tail -n 1 a.lm app.log
logmill tail -3 app.log | cmp - tail.expected 2>/dev/null || tail -3 app.log >tail.expected
logmill tail -3 app.log | cmp - tail.expected
logmill head -500 a.lm access.log | cmp - access.log
# Every line has a template; shares add up.
logmill templates --json a.lm | sed 's/.*"count":\([0-9]*\).*/\1/' | paste -sd+ | sed 's/^/expr /; s/+/ + /g' | sh
logmill templates app.log | grep -c 'took <\*> ms'
logmill templates -n 1 -q a.lm | wc -l
logmill templates --rare -n 1 -q --no-example --json a.lm | grep -c '"schema":1'
# Formats and fields.
logmill schema app.log | grep -c -e '  timestamp  *time ' -e '  level  *enum '
logmill schema access.log | grep -e '  status  ' | sed 's/ \{1,\}/ /g' | cut -d' ' -f2-4
logmill schema --json a.lm | grep -c '"schema":1'
logmill stats a.lm | grep -c -e '^  text ' -e '^  archive ' -e '^  made of '
logmill stats --json a.lm | head -1 | grep -o '"lines":[0-9]*'
# What changed between two logs.
grep -v 'timeout after' app.log >after.log
echo '2026-11-20 11:00:00,000 FATAL [main] out of cheese, redo from start' >>after.log
logmill diff app.log after.log; echo "= $?"
logmill diff app.log app.log; echo "= $?"
# One template a message, in order.
printf 'user 17 came\nuser 99 came\nall is well\nuser 3 came\n' >messages
logmill templates --messages --assign messages
logmill templates --messages --convergence messages | head -3
# A log too small to be worth columns has templates all the same; its archive says that it has none.
logmill templates --no-example messages | grep -c -e '  user <\*> came$' -e '  all is well$'
logmill pack -q messages -o messages.lm
logmill templates --no-example messages.lm | wc -l
