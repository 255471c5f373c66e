#!/bin/bash
# Makes the sample logs of this project anew: runs real programs for about a minute, on 127.0.0.1 only, and keeps what
# they log. Needs root (for /dev/log and to run PostgreSQL as its own user) and the programs listed below.
#
#   samples/make.sh [FOLDER]     default: the folder of this script
#
# Names and addresses are neutral: the host is called web-1, visitors come from networks that are reserved for
# documentation (RFC 5737). Times are those of the run.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
out=${1:-$here}
work=/tmp/shop # a fixed name, since programs log it
pg=$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | tail -n 1 || true)
for program in nginx redis-server rsyslogd sshd ssh ssh-keygen logger java python3 zstd dpkg-deb "$pg/postgres" "$pg/pgbench"; do
    command -v "$program" >/dev/null || { echo "samples/make.sh: $program is missing" >&2; exit 1; }
done
[ "$(id -u)" = 0 ] || { echo "samples/make.sh: run this as root" >&2; exit 1; }
mkdir "$work" # fails if another run is under way
mkdir "$work"/{bin,www,log,pg,root,deb,nginx}
cp "$here"/programs/* "$work/bin" # so that stack traces name neutral places
chmod 711 "$work"
started=()
stop() {
    for ((i = ${#started[@]} - 1; i >= 0; i--)); do kill "${started[i]}" 2>/dev/null || true; done
    wait 2>/dev/null || true
    rm -rf "$work"
}
trap stop EXIT
run() { "$@" & started+=($!); }
wait_for() { for _ in $(seq 100); do (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null && return; sleep 0.1; done; echo "no answer on port $1" >&2; exit 1; }

web=18080 shop=18081 redis=18082 database=18083 ssh=18084

echo "redis, the shop, nginx"
run redis-server --bind 127.0.0.1 --port $redis --save '' --loglevel debug --logfile "$work/log/redis.log" --dir "$work" --hz 50
wait_for $redis
run python3 "$work/bin/shop.py" $shop $redis "$work/log/app.log" "$work/log/events.jsonl"
wait_for $shop
for page in index about returns; do printf '<!doctype html><title>shop: %s</title>\n<h1>%s</h1>\n' $page $page >"$work/www/$page.html"; done
seq -f 'body { margin: %gpx }' 40 >"$work/www/style.css"
seq -f 'console.log(%g);' 90 >"$work/www/shop.js"
echo '<svg xmlns="http://www.w3.org/2000/svg"/>' >"$work/www/logo.svg"
cat >"$work/nginx.conf" <<CONF
daemon off; pid $work/nginx/pid; error_log $work/log/nginx-error.log info; worker_processes 2; user root;
events {}
http {
    types { text/html html; text/css css; application/javascript js; image/svg+xml svg; }
    client_body_temp_path $work/nginx/a; proxy_temp_path $work/nginx/b; fastcgi_temp_path $work/nginx/c;
    uwsgi_temp_path $work/nginx/d; scgi_temp_path $work/nginx/e;
    log_format main '\$remote_addr - \$remote_user [\$time_local] "\$request" \$status \$body_bytes_sent '
                    '"\$http_referer" "\$http_user_agent" rt=\$request_time urt="\$upstream_response_time" id=\$request_id';
    access_log $work/log/nginx-access.log main;
    set_real_ip_from 127.0.0.0/8; real_ip_header X-Forwarded-For;
    upstream shop { server 127.0.0.1:$shop; keepalive 8; }
    server {
        listen 127.0.0.1:$web; server_name shop.example; root $work/www;
        location /api/ { proxy_pass http://shop; proxy_http_version 1.1; proxy_set_header Connection "";
                         proxy_set_header X-Request-Id \$request_id; proxy_set_header X-Forwarded-For \$remote_addr; }
    }
}
CONF
run nginx -c "$work/nginx.conf" -e "$work/log/nginx-error.log"
wait_for $web
load=()
for seed in 1 2 3; do python3 "$work/bin/load.py" $web 14000 $seed & load+=($!); done

echo "syslog: sshd, backups"
cat >"$work/rsyslog.conf" <<CONF
global(localHostname="web-1" workDirectory="$work")
module(load="imuxsock")
template(name="old" type="string" string="%TIMESTAMP% %HOSTNAME% %syslogtag%%msg:::sp-if-no-1st-sp%%msg:::drop-last-lf%\n")
*.* action(type="omfile" file="$work/log/syslog" template="old")
CONF
run rsyslogd -n -f "$work/rsyslog.conf" -i "$work/rsyslog.pid"
for _ in $(seq 50); do [ -S /dev/log ] && break; sleep 0.1; done
ssh-keygen -q -t ed25519 -N '' -C deploy -f "$work/host"
ssh-keygen -q -t ed25519 -N '' -C deploy -f "$work/key"
cp "$work/key.pub" "$work/authorized"
mkdir -p /run/sshd
cat >"$work/sshd_config" <<CONF
ListenAddress 127.0.0.1:$ssh
HostKey $work/host
PidFile $work/sshd.pid
AuthorizedKeysFile $work/authorized
StrictModes no
PasswordAuthentication no
KbdInteractiveAuthentication no
UsePAM no
PermitRootLogin prohibit-password
MaxStartups 100:30:200
LogLevel VERBOSE
CONF
run "$(command -v sshd)" -D -f "$work/sshd_config"
wait_for $ssh
visit() { ssh -q -F none -o BatchMode=yes -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o IdentitiesOnly=yes \
    -i "$work/key" -p $ssh "$1@127.0.0.1" "${2:-true}" </dev/null >/dev/null 2>&1 || true; }
guess() { for user in admin test oracle ubuntu git pi guest ftp deploy backup user$((RANDOM % 90)); do visit "$user"; done; }
backup() {
    for n in $(seq 1 150); do
        size=$(tar -C "$work" -cf - www | wc -c)
        logger -t "backup[$((4000 + n))]" "www: archive $n has $size bytes, took $((RANDOM % 900 + 20)) ms"
        [ $((n % 37)) = 0 ] && logger -p daemon.err -t "backup[$((4000 + n))]" "cannot reach store-$((n % 3)).example: timeout after ${n}00 ms, retry in $((n % 9 + 1)) s"
        visit root "test -d /"
        [ $((n % 8)) = 0 ] && guess
        true
    done
}
backup & load+=($!)

echo "postgres"
chown -R postgres "$work/pg"
as_postgres() { setpriv --reuid=postgres --regid=postgres --init-groups env -i PATH="$pg:/usr/bin:/bin" LC_ALL=C TZ=UTC "$@"; }
as_postgres "$pg/initdb" -D "$work/pg/data" -A trust >/dev/null
cat >>"$work/pg/data/postgresql.conf" <<CONF
listen_addresses = '127.0.0.1'
port = $database
unix_socket_directories = ''
fsync = off
log_line_prefix = '%m [%p] %q%u@%d '
log_statement = 'all'
log_duration = on
log_connections = on
log_disconnections = on
log_checkpoints = on
log_timezone = 'UTC'
CONF
(as_postgres "$pg/postgres" -D "$work/pg/data" >"$work/log/postgres.log" 2>&1) & started+=($!)
wait_for $database
export PGHOST=127.0.0.1 PGPORT=$database PGUSER=postgres PGDATABASE=postgres
sql() { as_postgres env PGHOST=$PGHOST PGPORT=$PGPORT psql -q "$@" >/dev/null 2>&1 || true; }
sql -c "CREATE DATABASE shop"
as_postgres "$pg/pgbench" -h 127.0.0.1 -p $database -q -i -s 2 shop >/dev/null 2>&1
for n in $(seq 1 60); do
    sql -d shop -c "SELECT count(*) FROM pgbench_accounts
    WHERE bid = $((n % 2 + 1))
      AND abalance > $n" -c "INSERT INTO pgbench_branches (bid) VALUES (1)" -c "SELECT * FROM orders WHERE id = $n" -c "SELECT 1/($n-$n)"
done & load+=($!)
as_postgres "$pg/pgbench" -h 127.0.0.1 -p $database -c 3 -t 2500 -n shop >/dev/null 2>&1 & load+=($!)

echo "java, packages"
java -Duser.language=en -Duser.country=US -Duser.timezone=UTC -Xmx64m "-Xlog:gc*:file=$work/log/gc.log:time,uptime,level,tags" "$work/bin/Billing.java" "$work/log/billing.log" 6000 & load+=($!)
mkdir -p "$work"/root/var/lib/dpkg/{updates,info}
touch "$work/root/var/lib/dpkg/status"
for name in libshop shop-web shop-worker shop-data libshop-common shop-doc; do
    for version in 2.3.0-1 2.4.0-1 2.4.1-1; do
        mkdir -p "$work/deb/p/DEBIAN" "$work/deb/p/usr/share/$name"
        printf 'Package: %s\nVersion: %s\nArchitecture: all\nMaintainer: Shop <shop@shop.example>\nDescription: part of the shop\n' $name $version >"$work/deb/p/DEBIAN/control"
        echo $version >"$work/deb/p/usr/share/$name/version"
        dpkg-deb -b "$work/deb/p" "$work/deb/${name}_$version.deb" >/dev/null
        rm -rf "$work/deb/p"
    done
done
for round in 1 2 3 4; do
    for version in 2.3.0-1 2.4.0-1 2.4.1-1; do
        dpkg --root="$work/root" --log="$work/log/dpkg.log" -i "$work"/deb/*_$version.deb >/dev/null 2>&1 || true
    done
    [ $round = 4 ] || dpkg --root="$work/root" --log="$work/log/dpkg.log" -P shop-doc shop-data shop-worker >/dev/null 2>&1 || true
done

wait "${load[@]}"
# One stream that several programs write to, as a container platform collects it.
python3 - "$work/log" <<'PYTHON'
import itertools, sys
folder = sys.argv[1]
names = ["nginx-access.log", "events.jsonl", "syslog"]
files = [open(f"{folder}/{name}", encoding="utf-8", errors="surrogateescape").readlines()[:4000] for name in names]
with open(f"{folder}/mixed.log", "w", encoding="utf-8", errors="surrogateescape") as out:
    for lines in itertools.zip_longest(*files, fillvalue=""):
        out.writelines(lines)
PYTHON
kill "${started[@]}" 2>/dev/null || true
sleep 1
mkdir -p "$out"
for file in "$work"/log/*; do zstd -q -19 --force "$file" -o "$out/$(basename "$file").zst"; done
du -cb "$work"/log/* | sort -n
du -cb "$out"/*.zst | tail -n 1
