# SPDX-License-Identifier: BSD-2-Clause
# Libbpf programs that are driven over a pipe: what the tests of `ebpfrt exec` with targets source.

# a client under `ebpfrt exec OPTIONS`, until it is ready or has ended
client() {
	rm -f client.in
	mkfifo client.in
	: >client.out
	: >client.err
	ebpfrt exec -p "$target" "$@" <client.in >client.out 2>client.err &
	client=$!
	exec 7>client.in
	until_true client_ready
}
client_ready() {
	grep -q . client.out || ! kill -0 "$client" 2>/dev/null
}
client_end() {
	echo >&7 2>/dev/null
	exec 7>&-
	wait "$client"
	status=$?
}
