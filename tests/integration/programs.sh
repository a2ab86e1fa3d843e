#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Larger programs that are there or not, each with hundreds or thousands of functions probed at entry and return: what they say is
# what they say without probes. Takes minutes; `make real`. PROGRAMS="java node" runs some of them; probes are as they are by
# default, EBPFRT_PROBE=trap shows breaks.
EBPFRT_PROBE=${EBPFRT_PROBE:-auto}
export EBPFRT_PROBE
. "${top_srcdir:-.}/tests/integration/lib.sh"
plan 19

object=$bin/many.bpf.o
wanted() { # name, how many tests, command that must be there
	case " ${PROGRAMS:-$1} " in
	*" $1 "*) ;;
	*) skip "$2" "$1 is not wanted" && return 1 ;;
	esac
	command -v "$3" >/dev/null 2>&1 || {
		skip "$2" "$3 is not installed"
		return 1
	}
}

# entries and returns of what a glob matches; the output is to be as it is without, and something is to be counted
same() { # file:glob, command...
	glob=$1
	shift
	ebpfrt run -P "$object" --missing=ignore --prog "on_call=uprobe.multi:$glob" --prog "on_return=uretprobe.multi:$glob" \
		-o run.out -- "$@" >same.out 2>same.err
	got=$?
	hits=$(sed -n 's/.*; \([0-9]*\) hits.*/\1/p' same.err)
	echo "# $1, $glob: $hits hits"
	if [ "$got" = "$want_status" ] && cmp -s same.out want.out && [ "${hits:-0}" -gt 0 ]; then
		ok "$1, $glob"
	else
		not_ok "$1, $glob" "status $got, not $want_status; $hits hits" "$(diff want.out same.out | head -n 8)" "$(tail -n 5 same.err)"
	fi
}

as_is() { # command...
	"$@" >want.out 2>want.err
	want_status=$?
}

# --- Java: threads, collections of garbage, null pointers and stack overflows by signals, children
cat >Job.java <<'EOT'
import java.security.MessageDigest;
import java.util.*;
import java.util.concurrent.*;
import java.util.stream.*;

public class Job {
	static int deep(int n) { return n == 0 ? 0 : 1 + deep(n - 1); }
	static String name(Object o) { try { return o.toString(); } catch (NullPointerException e) { return "null"; } }
	static long job(int n) throws Exception {
		MessageDigest d = MessageDigest.getInstance("SHA-256");
		for (String s : IntStream.range(0, n).mapToObj(i -> "k" + i * 7919 % 1000).sorted().collect(Collectors.toList()))
			d.update(s.getBytes("UTF-8"));
		return Arrays.hashCode(d.digest());
	}
	public static void main(String[] args) throws Exception {
		ExecutorService pool = Executors.newFixedThreadPool(4);
		List<Future<Long>> jobs = new ArrayList<>();
		for (int i = 1; i <= 16; i++) { final int n = i * 200; jobs.add(pool.submit(() -> job(n))); }
		long sum = 0;
		for (Future<Long> j : jobs) sum += j.get();
		pool.shutdown();
		int nulls = 0, over = 0, divided = 0;
		for (int i = 0; i < 20000; i++) if (name(i % 2 == 0 ? null : "x").equals("null")) nulls++;
		for (int i = 0; i < 3; i++) try { deep(100000000); } catch (StackOverflowError e) { over++; }
		for (int i = 0; i < 2000; i++) try { divided += 7 / (i % 2); } catch (ArithmeticException e) { divided += 100; }
		List<byte[]> kept = new ArrayList<>();
		for (int i = 0; i < 400; i++) { kept.add(new byte[200000]); if (kept.size() > 20) kept.remove(0); }
		System.gc();
		int[] n = {0};
		Thread[] threads = new Thread[30];
		for (int i = 0; i < threads.length; i++) { threads[i] = new Thread(() -> { synchronized (n) { n[0]++; } }); threads[i].start(); }
		for (Thread t : threads) t.join();
		Process p = new ProcessBuilder("sh", "-c", "echo $((6 * 7)); exit 3").start();
		System.out.println(sum + " " + nulls + " " + over + " " + divided + " " + kept.size() + " " + n[0] + " "
			+ new String(p.getInputStream().readAllBytes()).trim() + " " + p.waitFor() + " " + new Throwable().getStackTrace()[0].getMethodName());
	}
}
EOT
if wanted java 4 javac && javac Job.java; then
	jvm=$(find "$(dirname "$(readlink -f "$(command -v java)")")/.." -name libjvm.so | head -n 1)
	as_is java -cp . Job
	same 'libc.so.6:*' java -cp . Job
	same "$jvm:J*" java -cp . Job
	same "$jvm:_ZN20*" java -cp . Job
	same "$jvm:_ZN2*" java -cp . Job
fi

# --- node: collections of garbage, exceptions, workers, children
cat >job.js <<'EOT'
const crypto = require('crypto'), zlib = require('zlib'), { Worker } = require('worker_threads');
const kept = [];
let s = 0, over = 0, sum = 0, left = 3;
for (let i = 0; i < 3000; i++) {
	const o = { ['k' + i]: [i, String(i), { a: i }] };
	kept.push(JSON.parse(JSON.stringify(o)));
	if (kept.length > 500) kept.shift();
	s += Object.keys(o).length;
}
const deep = n => 1 + deep(n + 1);
for (let i = 0; i < 3; i++) try { deep(0); } catch (e) { over++; }
gc();
console.log(s, over, crypto.createHash('sha256').update(JSON.stringify(kept)).digest('hex'),
	zlib.inflateSync(zlib.deflateSync(Buffer.alloc(100000, 'abc'))).length, /(\d+)-(?=b)/.exec('12-b')[1]);
for (let i = 0; i < 3; i++) {
	const w = new Worker(`let s = 0; for (let i = 0; i < 100000; i++) s += i; require('worker_threads').parentPort.postMessage(s)`, { eval: true });
	w.on('message', m => { sum += m; });
	w.on('exit', () => { if (!--left) console.log(sum, require('child_process').execFileSync('sh', ['-c', 'echo $((6 * 7))']).toString()); });
}
EOT
if wanted node 4 node; then
	node=$(readlink -f "$(command -v node)")
	as_is node --expose-gc job.js
	same "$node:uv_*" node --expose-gc job.js
	same "$node:*Runtime_*" node --expose-gc job.js
	same "$node:*Builtin*" node --expose-gc job.js
	same "$node:_ZN4node*" node --expose-gc job.js
fi

# --- Go: attached to, as it ignores LD_PRELOAD; goroutines, collections of garbage; and its compiler
cat >hello.go <<'EOT'
package main

import (
	"bufio"
	"fmt"
	"os"
	"runtime"
	"sort"
	"strings"
	"sync"
)

func work(n int) string {
	m := map[string][]byte{}
	for j := 0; j < 200; j++ {
		m[fmt.Sprint(j*n)] = make([]byte, n*10)
	}
	k := make([]string, 0)
	for s := range m {
		k = append(k, s)
	}
	sort.Strings(k)
	return strings.ToUpper(fmt.Sprint(len(k), len(strings.Join(k, ","))))
}

func main() {
	fmt.Println("ready", os.Getpid())
	for in := bufio.NewScanner(os.Stdin); in.Scan() && in.Text() != "quit 0"; {
		var wg sync.WaitGroup
		sums := make([]string, 50)
		for i := range sums {
			wg.Add(1)
			go func(n int) {
				defer wg.Done()
				sums[n] = work(n + 1)
				runtime.GC()
			}(i)
		}
		wg.Wait()
		fmt.Println(sums)
	}
}
EOT
if wanted go 3 go && GO111MODULE=off GOCACHE=$stage/go GOFLAGS='' go build -o "$stage/hello_go" hello.go 2>go.err; then
	target_program=$stage/hello_go
	target_start
	say go
	want=$answer
	attach_start "$target" "$object" --missing=ignore --prog "on_call=uprobe.multi:$stage/hello_go:[a-z]*" \
		--prog "on_return=uretprobe.multi:$stage/hello_go:[a-z]*"
	say go
	is "Go: all its functions" "$answer" "$want"
	attach_stop INT
	echo "# Go: $(tail -n 1 attach.err)"
	like "Go: were counted" "$(cat attach.err)" "; [1-9][0-9]* hits"
	target_quit
	GO111MODULE=off GOCACHE=$stage/go2 GOFLAGS='' ebpfrt run -q -P "$object" --missing=ignore --prog "on_call=uprobe.multi:libc.so.6:*" \
		--prog "on_return=uretprobe.multi:libc.so.6:*" -o run.out -- go build -o "$stage/hello_go2" hello.go >same.out 2>same.err
	is "go build under probes: the same program" "$? $(echo go | "$stage/hello_go2" | tail -n 1)" "0 $want"
fi

# --- python3's own test suite, more of it than in suite.sh
suite=
for python in /usr/bin/python3 python3; do # as ./bootstrap deps installs it, or one of one's own
	python=$(command -v "$python") && "$python" -c 'import test.test_dict' 2>/dev/null && suite=$python && break
done
[ -z "$suite" ] || suite=$("$suite" -c 'import sys; print(sys.executable)')
results() { # of -v: test and outcome, without times; a test that says something has its outcome elsewhere
	sed -n -e 's/^\(test[A-Za-z0-9_]* ([^)]*)\).*\.\.\. \(ok\|FAIL\|ERROR\|skipped .*\|expected failure\)$/\1 \2/p' -e t \
		-e 's/^\(test[A-Za-z0-9_]* ([^)]*)\).*\.\.\. .*$/\1/p' "$1" | sort
}
part="test_dict test_list test_json test_struct test_zlib test_hashlib test_sqlite3 test_ctypes test_exceptions test_generators \
test_coroutines test_raise test_decimal test_bytes test_unicode test_re test_pickle test_set test_itertools test_memoryview"
loud="test_threading test_signal test_subprocess test_faulthandler test_mmap test_socket test_selectors test_queue test_fork1 \
test_posix test_wait4 test_thread test_ssl test_asyncio"
of_suite() { # name, seconds, glob or none, modules...
	name=$1
	limit=$2
	glob=$3
	shift 3
	for m; do
		"$suite" -c "import test.$m" 2>/dev/null || continue
		if [ "$glob" = none ]; then
			timeout "$limit" "$suite" -m unittest -v "test.$m" >"$name.$m.log" 2>&1 </dev/null
		else
			timeout "$limit" ebpfrt run -q -P "$object" --missing=ignore --prog "on_call=uprobe.multi:$glob" \
				--prog "on_return=uretprobe.multi:$glob" -o run.out -- "$suite" -m unittest -v "test.$m" >"$name.$m.log" 2>&1 </dev/null
		fi
		echo "$m $?" >>"$name.status"
		results "$name.$m.log" >>"$name.results"
	done
}
if [ -n "$suite" ] && wanted python 2 "$suite"; then
	echo "# $suite"
	own=$(ldd "$suite" | sed -n 's/.*=> \(.*libpython3[^ ]*\).*/\1/p')
	# shellcheck disable=SC2086
	of_suite plain 600 none $part
	# shellcheck disable=SC2086
	of_suite probed 600 "${own:-$suite}:Py*" $part
	echo "# $(wc -l <plain.results) tests"
	is "python3's tests, its own functions: the same results" "$(cat probed.status; diff plain.results probed.results)" "$(cat plain.status)"
	# shellcheck disable=SC2086
	of_suite loudplain 600 none $loud
	# shellcheck disable=SC2086
	of_suite loud 900 'libc.so.6:*' $loud
	echo "# $(wc -l <loudplain.results) tests"
	is "python3's tests of threads, signals, children: the C library, the same results" \
		"$(cat loud.status; diff loudplain.results loud.results)" "$(cat loudplain.status)"
else
	[ -n "$suite" ] || skip 2 "python3's test suite is not installed: ./bootstrap deps, or the package libpython3.*-testsuite"
fi

# --- sqlite3, openssl: all functions
if wanted sqlite3 1 sqlite3; then
	cat >script.sql <<'EOT'
CREATE TABLE t (n INTEGER PRIMARY KEY, s TEXT, r REAL);
WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 5000)
INSERT INTO t SELECT n, printf('%d-%x', n, n * n), n / 7.0 FROM c;
CREATE INDEX i ON t (s);
SELECT count(*), sum(n), round(avg(r), 6), group_concat(substr(s, 2, 1), '') FROM t WHERE s LIKE '%1%';
PRAGMA integrity_check;
EOT
	as_is sqlite3 :memory: '.read script.sql'
	same 'libsqlite3.so.0:*' sqlite3 :memory: '.read script.sql'
fi
if wanted openssl 2 openssl; then
	openssl genrsa -out key.pem 2048 2>/dev/null
	seq 1 20000 >numbers
	as_is openssl dgst -sha256 -sign key.pem -hex numbers
	same 'libcrypto.so.3:*' openssl dgst -sha256 -sign key.pem -hex numbers
	as_is openssl req -x509 -key key.pem -subj /CN=x -set_serial 1 -not_before 20200101000000Z -not_after 20300101000000Z
	[ "$want_status" = 0 ] || as_is openssl rsa -in key.pem -text -noout
	[ "$want_status" = 0 ] && same 'libcrypto.so.3:*' openssl rsa -in key.pem -text -noout
fi

# --- others that walk stacks, make code or threads of their own
if wanted perl 1 perl; then
	script='my %h; $h{$_ % 97} .= chr(65 + $_ % 26) for 1..20000; my $s = join ",", map { "$_:" . length $h{$_} } sort { $a <=> $b } keys %h;
$SIG{ALRM} = sub { die "alarm\n" }; eval { alarm 1; select(undef, undef, undef, 5) while 1 }; print "$s $@"; print `echo child`; exit 3'
	as_is perl -e "$script"
	same 'libc.so.6:*' perl -e "$script"
fi
if wanted gdb 1 gdb; then
	as_is gdb -nx -batch -ex 'python print(sum(i * i for i in range(1000)))' -ex 'info line main' "$bin/target"
	same 'libc.so.6:*' gdb -nx -batch -ex 'python print(sum(i * i for i in range(1000)))' -ex 'info line main' "$bin/target"
fi
if wanted gcc 1 gcc; then
	as_is sh -c "gcc -O2 -S -o - '$stage/integration/target.c'"
	same 'libc.so.6:*' sh -c "gcc -O2 -S -o - '$stage/integration/target.c'"
fi
