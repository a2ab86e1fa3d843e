/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Targets, links and the daemon's own state: each function is one request, its reply copied field
 * by field into the public structure, so that the wire may change without the API.
 */
#include "client/client.h"

#include <stdlib.h>
#include <string.h>

#include "arch/arch.h"
#include "base/cleanup.h"
#include "probe/probe.h"
#include "surface/surface.h"

static void copy_text(char *to, size_t size, const char *from, size_t from_size)
{
	size_t n = strnlen(from, MIN(from_size, size - 1));

	memcpy(to, from, n);
	to[n] = 0;
}

static void copy_target(struct ebpfrt_target *to, const struct msg_target_info *from)
{
	*to = (struct ebpfrt_target){
		.pid = from->pid,
		.how = from->how,
		.stopped_ns = from->stopped_ns,
		.longest_ns = from->longest_ns,
		.stops = from->stops,
		.sites = from->nsites,
		.links = from->nlinks,
		.sessions = from->sessions,
		.inert = from->inert,
		.found = from->found,
		.hits = from->hits,
		.missed = from->missed,
		.aborted = from->aborted,
		.left = from->left,
		.foreign = from->foreign,
		.dropped = from->trace_dropped,
		.jumps = from->jumps,
	};
	copy_text(to->comm, sizeof(to->comm), from->comm, sizeof(from->comm));
}

static void copy_link(struct ebpfrt_link *to, const struct msg_link_info *from)
{
	*to = (struct ebpfrt_link){
		.id = from->link,
		.prog_id = from->prog,
		.pid = from->pid,
		.state = (enum ebpfrt_link_state)from->state,
		.err = from->err,
		.is_return = !!from->is_ret,
		.is_session = !!from->is_session,
		.addr = from->addr,
		.offset = from->offset,
		.cookie = from->cookie,
		.hits = from->hits,
		.missed = from->missed,
		.aborted = from->aborted,
		.left = from->left,
		.places = from->places,
		.missing = from->missing,
	};
	copy_text(to->prog_name, sizeof(to->prog_name), from->prog_name, sizeof(from->prog_name));
	copy_text(to->path, sizeof(to->path), from->path, sizeof(from->path));
	copy_text(to->symbol, sizeof(to->symbol), from->symbol, sizeof(from->symbol));
	copy_text(to->reason, sizeof(to->reason), from->reason, sizeof(from->reason));
}

int client_rows(const struct frame *reply, size_t size, size_t *n)
{
	if (reply->len % size)
		return client_fail(-EPROTO, "the daemon's reply is torn (%zu bytes)", reply->len);
	*n = reply->len / size;
	return 0;
}

__export int ebpfrt_target_attach(pid_t pid, unsigned int flags, struct ebpfrt_target *out)
{
	_cleanup_frame_ struct frame reply = FRAME_INIT;
	struct msg_target req = {.pid = pid};
	struct msg_target_info info;
	char what[64];
	int err;

	if (pid <= 0)
		return client_fail(-EINVAL, "%d is not a process ID", pid);
	if (flags & EBPFRT_FOLLOW)
		req.flags |= MSG_TARGET_FOLLOW;
	snprintf(what, sizeof(what), "cannot attach to %d", pid);
	err = client_request(MSG_TARGET_ADOPT, &req, sizeof(req), &reply, what);
	if (err < 0)
		return err;
	if (reply.len < sizeof(info))
		return client_fail(-EPROTO, "%s: the daemon's reply is short", what);
	memcpy(&info, reply.body, sizeof(info));
	if (out)
		copy_target(out, &info);
	return 0;
}

__export int ebpfrt_target_detach(pid_t pid)
{
	struct msg_target req = {.pid = pid};
	char what[64];
	int err;

	snprintf(what, sizeof(what), "cannot detach %d", pid);
	err = client_request(MSG_TARGET_DROP, &req, sizeof(req), NULL,
			     pid ? what : "cannot detach from all processes");
	return err < 0 ? err : 0;
}

__export int ebpfrt_targets(struct ebpfrt_target **out, size_t *n)
{
	_cleanup_frame_ struct frame reply = FRAME_INIT;
	struct ebpfrt_target *rows = NULL;
	size_t count = 0;
	int err;

	err = client_request(MSG_TARGET_LIST, NULL, 0, &reply, "cannot list the targets");
	if (err < 0)
		return err;
	err = client_rows(&reply, sizeof(struct msg_target_info), &count);
	if (err)
		return err;
	if (count && !(rows = calloc(count, sizeof(*rows))))
		return client_fail(-ENOMEM, "out of memory");
	for (size_t i = 0; i < count; i++) {
		struct msg_target_info info;

		memcpy(&info, reply.body + i * sizeof(info), sizeof(info));
		copy_target(&rows[i], &info);
	}
	*out = rows;
	*n = count;
	return 0;
}

__export int ebpfrt_links(uint32_t id, pid_t pid, struct ebpfrt_link **out, size_t *n)
{
	_cleanup_frame_ struct frame reply = FRAME_INIT;
	struct msg_link_query query = {.id = id, .pid = (u32)pid};
	struct ebpfrt_link *rows = NULL;
	size_t count = 0;
	int err;

	err = client_request(MSG_LINK_LIST, &query, sizeof(query), &reply, "cannot list the links");
	if (err < 0)
		return err;
	err = client_rows(&reply, sizeof(struct msg_link_info), &count);
	if (err)
		return err;
	if (count && !(rows = calloc(count, sizeof(*rows))))
		return client_fail(-ENOMEM, "out of memory");
	for (size_t i = 0; i < count; i++) {
		struct msg_link_info info;

		memcpy(&info, reply.body + i * sizeof(info), sizeof(info));
		copy_link(&rows[i], &info);
	}
	*out = rows;
	*n = count;
	return 0;
}

/* A jump that was planned may be a break for the time, or there may be neither. */
static u32 rung_now(const struct msg_site_info *s)
{
	u8 byte;

	if (probe_read_memory(s->pid, s->addr, &byte, 1) != 1)
		return s->rung;
	if (byte == ARCH_JUMP && probe_rung_is_jump(s->rung))
		return s->rung;
	if (byte != ARCH_BREAK)
		return PROBE_RUNG_UNKNOWN;
	return probe_rung_is_jump(s->rung) ? PROBE_RUNG_KEPT : s->rung;
}

/* Does the stub call the program itself? @s is a jump. */
static bool is_leaf(const struct msg_site_info *s)
{
	u64 record[ARCH_LEAF_REC_AGENT + 1], at = s->addr, site;
	u8 head[ARCH_STUB_HEAD];
	s32 rel = 0;

	for (int i = 0; i < 3; i++, at += ARCH_JUMP_LEN + (u64)(s64)rel) {
		if (probe_read_memory(s->pid, at, head, sizeof(head)) != sizeof(head))
			return false;
		if (arch_jump_site(head, at, &site))
			return site == s->addr &&
			       probe_read_memory(s->pid, at + ARCH_STUB_RECORDS, record,
						 sizeof(record)) == sizeof(record) &&
			       record[ARCH_LEAF_REC_CALL] != record[ARCH_LEAF_REC_AGENT];
		if (head[0] != ARCH_JUMP)
			return false;
		memcpy(&rel, head + 1, sizeof(rel));
	}
	return false;
}

static void copy_site(struct ebpfrt_site *to, const struct msg_site_info *from)
{
	u32 rung = rung_now(from);

	*to = (struct ebpfrt_site){
		.pid = from->pid,
		.is_jump = probe_rung_is_jump(rung),
		.is_leaf = probe_rung_is_jump(rung) && is_leaf(from),
		.addr = from->addr,
		.offset = from->offset,
		.dev = from->file.dev,
		.ino = from->file.ino,
		.rung = probe_rung_name(rung),
		.reason = probe_rung_why(rung),
	};
}

__export int ebpfrt_sites(uint32_t id, pid_t pid, struct ebpfrt_site **out, size_t *n)
{
	_cleanup_frame_ struct frame reply = FRAME_INIT;
	struct msg_link_query query = {.id = id, .pid = (u32)pid};
	struct ebpfrt_site *rows = NULL;
	size_t count = 0;
	int err;

	err = client_request(MSG_SITE_LIST, &query, sizeof(query), &reply, "cannot list the sites");
	if (err < 0)
		return err;
	err = client_rows(&reply, sizeof(struct msg_site_info), &count);
	if (err)
		return err;
	if (count && !(rows = calloc(count, sizeof(*rows))))
		return client_fail(-ENOMEM, "out of memory");
	for (size_t i = 0; i < count; i++) {
		struct msg_site_info info;

		memcpy(&info, reply.body + i * sizeof(info), sizeof(info));
		copy_site(&rows[i], &info);
	}
	*out = rows;
	*n = count;
	return 0;
}

/* Sites a link holds now: what its detachment will restore. */
static uint32_t count_sites(uint32_t id)
{
	struct ebpfrt_link *rows = NULL;
	size_t n = 0;
	uint32_t sites = 0;

	if (ebpfrt_links(id, 0, &rows, &n))
		return 0;
	for (size_t i = 0; i < n; i++)
		sites += rows[i].state == EBPFRT_LINK_ATTACHED ? rows[i].places : 0;
	free(rows);
	return sites;
}

__export int ebpfrt_link_detach(uint32_t id, uint32_t *sites)
{
	uint32_t before = sites ? count_sites(id) : 0;
	char what[64];
	int err;

	snprintf(what, sizeof(what), "cannot detach link %u", id);
	err = client_request(MSG_LINK_DROP, &id, sizeof(id), NULL, what);
	if (err < 0)
		return err;
	if (sites)
		*sites = before;
	return 0;
}

static int batch(u32 begin)
{
	int err;

	/* links that were closed in it are known to be before the daemon looks */
	surface_close_together(begin);
	err = client_request(MSG_ATTACH_BATCH, &begin, sizeof(begin), NULL, "cannot attach");
	return err < 0 ? err : 0;
}

__export int ebpfrt_batch_begin(void)
{
	return batch(1);
}

__export int ebpfrt_batch_end(void)
{
	return batch(0);
}

__export int ebpfrt_status(struct ebpfrt_status *out)
{
	_cleanup_frame_ struct frame reply = FRAME_INIT;
	struct msg_status s;
	int err;

	err = client_request(MSG_STATUS, NULL, 0, &reply, "cannot ask the daemon");
	if (err < 0)
		return err;
	if (reply.len < sizeof(s))
		return client_fail(-EPROTO, "the daemon's reply is short");
	memcpy(&s, reply.body, sizeof(s));
	*out = (struct ebpfrt_status){
		.daemon = (pid_t)s.pid,
		.clients = s.nclients,
		.targets = s.ntargets,
		.maps = s.nmaps,
		.progs = s.nprogs,
		.links = s.nlinks,
		.btfs = s.nbtfs,
		.pins = s.npins,
		.uptime_ns = s.uptime_ns,
		.log_lost = s.log_lost,
	};
	copy_text(out->version, sizeof(out->version), s.version, sizeof(s.version));
	copy_text(out->dir, sizeof(out->dir), s.dir, sizeof(s.dir));
	return 0;
}

__export int ebpfrt_shutdown(int force)
{
	u32 f = !!force;
	int err = client_request(MSG_SHUTDOWN, &f, sizeof(f), NULL, "cannot end the daemon");

	return err < 0 ? err : 0;
}
