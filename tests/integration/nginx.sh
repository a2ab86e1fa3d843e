#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# A web server under load, attached to and left again and again: every answer is right, its text is as it was.
. "${top_srcdir:-.}/tests/integration/lib.sh"
command -v nginx >/dev/null 2>&1 && command -v curl >/dev/null 2>&1 || {
	echo "1..0 # SKIP no nginx or no curl"
	exit 0
}
plan 11
cycles=5

mkdir -p www tmp
seq 1 20000 >www/page
cat >nginx.conf <<EOT
worker_processes 1;
daemon off;
pid $PWD/nginx.pid;
error_log $PWD/error.log;
events { worker_connections 64; }
http {
	access_log off;
	client_body_temp_path $PWD/tmp; proxy_temp_path $PWD/tmp; fastcgi_temp_path $PWD/tmp;
	uwsgi_temp_path $PWD/tmp; scgi_temp_path $PWD/tmp;
	server { listen unix:$PWD/sock; root $PWD/www; gzip on; gzip_min_length 1; gzip_types *; }
}
EOT
nginx -p "$PWD" -c "$PWD/nginx.conf" -e "$PWD/error.log" 2>nginx.err &
nginx=$!
up() {
	curl -s --unix-socket sock http://localhost/page -o /dev/null
}
until_true up || bail "nginx did not start: $(cat nginx.err error.log)"
workers=$(cat "/proc/$nginx/task/$nginx/children")

# known work: two clients at once, so many requests each
set -- $workers
nginx_file=$(command -v nginx)
attach_start "$1" "$bin/count.bpf.o" --prog "on_work=uprobe:$nginx_file:ngx_http_create_request" \
	--prog "on_work_done=uretprobe:$nginx_file:ngx_http_create_request"
clients=
for i in 1 2; do
	for j in $(seq 40); do up || echo "$i $j" >>wrong; done &
	clients="$clients $!"
done
wait $clients
is "every request was counted, and its return" "$(map_value counts 0) $(map_value counts 2)" "80 80"
attach_stop INT

# clients that ask until they are told to stop, and note every wrong answer
want=$(cksum <www/page)
touch load
clients=
for i in 1 2; do
	while [ -e load ]; do
		got=$(curl -s --compressed --unix-socket sock http://localhost/page | cksum)
		[ "$got" = "$want" ] || echo "$got" >>wrong
		echo >>asked
	done &
	clients="$clients $!"
done
text() {
	target=$1 python3 "$stage/integration/text_hash.py" "$1"
}
set -- $workers
before=$(text "$1")
bad=
hits=0
for i in $(seq $cycles); do
	set -- $workers
	attach_start "$1" "$samples/malloc.bpf.o" || bad="$bad start"
	n=$(wc -l <asked)
	until_true eval '[ $(wc -l <asked) -gt $((n + 2)) ]'
	attach_stop INT
	[ "$attach_status" = 0 ] || bad="$bad $attach_status"
	hits=$((hits + $(sed -n 's/.* \([0-9]*\) hits.*/\1/p' attach.err)))
done
is "$cycles times attached to a worker and left it" "$bad" ""
like "its allocations were hits" "$hits" "^[1-9]"
is "every byte of its text is back" "$(text "$1")" "$before"

# every function it exports at once, entries and returns, under the same load
set -- $workers
attach_start "$1" "$bin/many.bpf.o" --missing=ignore --prog "on_call=uprobe.multi:$nginx_file:ngx_*" \
	--prog "on_return=uretprobe.multi:$nginx_file:ngx_*"
n=$(wc -l <asked)
until_true eval '[ $(wc -l <asked) -gt $((n + 3)) ]' && ok "all its functions probed: it answers" || not_ok "all its functions probed: it answers"
attach_stop INT
like "hundreds of them, and hundreds of calls" "$attach_status $(tail -n 2 attach.err | tr '\n' ' ')" "^0 .*detached, [0-9]{3,} sites restored; [0-9]{3,} hits"
is "every byte of its text is back, again" "$(text "$1")" "$before"

# the master waits in sigsuspend; its children are all new after a reload
attach_start "$nginx" "$samples/malloc.bpf.o"
kill -HUP "$nginx"
renewed() {
	[ "$(cat "/proc/$nginx/task/$nginx/children")" != "$workers" ]
}
until_true renewed
n=$(wc -l <asked)
until_true eval '[ $(wc -l <asked) -gt $((n + 4)) ]'
attach_stop INT
is "the master, while it is reloaded" "$attach_status" 0
rm load
wait $clients
is "every answer was right" "$(cat wrong 2>/dev/null)" ""
kill -QUIT "$nginx"
wait "$nginx"
is "it ends well" "$?" 0
is "without a word of alarm" "$(grep -E 'alert|emerg|signal (4|5|6|7|8|11)' error.log)" ""
