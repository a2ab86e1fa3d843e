// SPDX-License-Identifier: BSD-2-Clause
/*
 * An ordinary libbpf skeleton program; nothing in it knows of ebpfrt.
 *
 *	ebpfrt exec -p PID -- ./events [SECONDS]      in user space, without root
 *	sudo ./events                                 in the kernel
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <bpf/libbpf.h>

#include "events.h"
#include "events.skel.h"

static volatile sig_atomic_t stop;

static void on_signal(int sig)
{
	stop = sig;
}

static int on_event(void *ctx, void *data, size_t len)
{
	unsigned long *n = ctx;
	const struct event *e = data;

	if (len < sizeof(*e))
		return 0;
	(*n)++;
	printf("%llu.%06llu %s[%u] malloc(%llu)\n", e->ts / 1000000000, e->ts / 1000 % 1000000, e->comm, e->tid,
	       e->size);
	fflush(stdout);
	return 0;
}

static int read_events(struct events_bpf *skel, double seconds)
{
	time_t end = time(NULL) + (time_t)seconds;
	struct ring_buffer *ring;
	unsigned long n = 0;
	int err = 0;

	ring = ring_buffer__new(bpf_map__fd(skel->maps.events), on_event, &n, NULL);
	if (!ring)
		return -errno;
	while (!stop && (seconds <= 0 || time(NULL) < end)) {
		err = ring_buffer__poll(ring, 100);
		if (err < 0 && err != -EINTR)
			break;
		err = 0;
	}
	printf("%lu events read, %llu calls seen, %llu sent\n", n, skel->bss->seen, skel->bss->sent);
	ring_buffer__free(ring);
	return err;
}

int main(int argc, char **argv)
{
	struct events_bpf *skel;
	int err;

	signal(SIGINT, on_signal);
	signal(SIGTERM, on_signal);
	setvbuf(stdout, NULL, _IOLBF, 0);
	skel = events_bpf__open();
	if (!skel)
		return 1;
	if (argc > 2)
		skel->rodata->min_size = strtoull(argv[2], NULL, 0);
	/* the object says what its records are; bpf(2) takes no value size for a ring */
	bpf_map__set_value_size(skel->maps.events, 0);
	err = events_bpf__load(skel) ?: events_bpf__attach(skel);
	if (!err)
		err = read_events(skel, argc > 1 ? atof(argv[1]) : 0);
	if (err)
		fprintf(stderr, "events: %s\n", strerror(-err));
	events_bpf__destroy(skel);
	return err ? 1 : 0;
}
