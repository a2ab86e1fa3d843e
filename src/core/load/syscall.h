/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * bpf(2) as a function: one call with its attribute, the descriptors it names and the memory its
 * pointers point to, already copied out of the caller. Checks and errno are the kernel's
 * (kernel/bpf/syscall.c); what needs a target or a process goes through struct ebpf_backend.
 */
#pragma once

#include "core/load/object.h"

#define EBPF_ATTR_MAX 256u /* bytes of attribute that are kept: more than any command has */
#define EBPF_WHY_MAX 256u

/* not an errno: the answer comes later, through the backend */
#define EBPF_LATER 0x7fff0000

/* key of a buffer: offset of its pointer field in the attribute, or (info) NESTED + its offset */
#define EBPF_BUF_NESTED 0x10000u
#define EBPF_BUF_CALLEES 0x80000u /* PROG_LOAD: struct ebpf_callee[] */
#define EBPF_BUF_KFUNCS 0x40000u  /* PROG_LOAD: struct ebpf_kfunc_name[] */

struct ebpf_buf {
	u32 key;
	u32 in_len;
	u32 out_cap;
	u32 out_len; /* valid in out */
	const u8 *in;
	u8 *out; /* malloc'ed on first use, freed by ebpf_call_deinit() */
};

struct ebpf_fd {
	s32 fd;
	struct osl_ident ident;
};

struct ebpf_call {
	struct ebpf_table *table;
	struct ebpf_owner *owner; /* takes hold of what is named */
	u32 cmd;
	u32 attr_size; /* as the caller gave it */
	union {
		union bpf_attr attr;
		u8 raw[EBPF_ATTR_MAX];
	};
	bool tail; /* a non-zero byte beyond raw[] */
	const struct ebpf_fd *fds;
	u32 nfds;
	struct ebpf_buf *bufs;
	u32 nbufs;
	u32 uid;
	s32 pid; /* of the calling process */
	u32 session;
	bool interpret; /* PROG_LOAD: without machine code */
	void *job; /* what a command that is answered later needs, freed by ebpf_call_deinit() */
	void (*job_free)(void *job);
	/* out */
	struct ebpf_obj *obj;	/* made or found: a descriptor of it is the result; one reference */
	char why[EBPF_WHY_MAX]; /* a sentence for the person, "" when errno says it all */
};

/* What core/load can't do by itself. All slots mandatory. */
struct ebpf_backend {
	/*
	 * Attach @link (its specification complete): 0, -errno with call->why, or EBPF_LATER. The
	 * backend may keep a pointer in link->priv until detach.
	 */
	int (*link_attach)(struct ebpf_call *call, struct ebpf_link_obj *link);
	void (*link_detach)(struct ebpf_link_obj *link); /* idempotent */
	int (*link_update)(struct ebpf_call *call, struct ebpf_link_obj *link,
			   struct ebpf_prog_obj *prog);
	/* Fill in what a perf link is attached to (path, offsets, is_ret, pid) from its event. */
	int (*link_of_event)(struct ebpf_call *call, struct ebpf_link_obj *link,
			     struct ebpf_obj *event);
	/* The link that runs when the perf event @event fires; NULL: none. */
	struct ebpf_link_obj *(*link_at)(struct ebpf_obj *event);
	/* Identity of the file @path as the caller sees it. */
	int (*file_ident)(struct ebpf_call *call, const char *path, struct osl_ident *out,
			  u64 *size);
	int (*test_run)(struct ebpf_call *call, struct ebpf_prog_obj *prog);
	/*
	 * ebpf_load_build(@load), where a hang or a crash of it hurts nobody. 0, -errno, or
	 * EBPF_LATER: then ebpf_prog_load_done() is called with one of these and its result is the
	 * call's. @load and its log belong to the call.
	 */
	int (*prog_build)(struct ebpf_call *call, struct ebpf_load *load);
	/* A slot of a PROG_ARRAY or PERF_EVENT_ARRAY is about to hold @obj (NULL: cleared). */
	int (*slot_set)(struct ebpf_map_obj *map, u32 index, struct ebpf_obj *obj);
	/*
	 * @inner is about to be an element of the map of maps @outer. True when all targets that
	 * have @outer have @inner; else they are given it, then ebpf_inner_publish() is called.
	 */
	bool (*inner_reach)(struct ebpf_map_obj *outer, struct ebpf_map_obj *inner);
	/* Add what living targets have counted. */
	void (*prog_stats)(struct ebpf_prog_obj *prog, u64 *cnt, u64 *time_ns, u64 *missed);
	/* BPF_ENABLE_STATS: the result is a descriptor the backend makes. */
	int (*enable_stats)(struct ebpf_call *call);
	/* Map the memory of a map here, a ring's data twice in a row (ringbuf.h), and unmap it. */
	int (*map_pages)(const struct ebpf_map_meta *meta, int fd, u64 size, void **out);
	void (*unmap_pages)(const struct ebpf_map_meta *meta, void *base, u64 size);
	/* A map is gone or new: doorbells. */
	u32 (*random)(void);
	int (*map_new)(struct ebpf_map_obj *map);
	void (*map_gone)(struct ebpf_map_obj *map);
	/*
	 * Names of objects are files in a directory of the backend's; @name is relative to it, and
	 * a client's. Make one: fills in pin->file and pin->fd; find one, of whatever kind; has it
	 * no name any more? NULL: there are no names.
	 */
	int (*pin_make)(struct ebpf_table *t, const char *name, struct ebpf_pin *pin);
	int (*pin_find)(struct ebpf_table *t, const char *name, struct osl_ident *out);
	bool (*pin_gone)(const struct ebpf_pin *pin);
	void (*pin_free)(struct ebpf_pin *pin);
};

/* 0 or a positive result, -errno, or EBPF_LATER. */
int ebpf_syscall(struct ebpf_call *call);
void ebpf_call_deinit(struct ebpf_call *call); /* buffers, job, the object's reference */

/* --- for the command files ------------------------------------------------------------------ */

struct ebpf_buf *ebpf_call_buf(struct ebpf_call *call, u32 key); /* NULL: not sent */
/* Input of exactly @len bytes at @key, or NULL. */
const void *ebpf_call_in(struct ebpf_call *call, u32 key, u32 len);
/* Room of @len bytes at @key; its out_len is set. NULL: the caller has less, or no memory. */
void *ebpf_call_out(struct ebpf_call *call, u32 key, u32 len);
/* NUL-terminated string at @key shorter than @max. 0, -EFAULT, -ENAMETOOLONG. */
int ebpf_call_str(struct ebpf_call *call, u32 key, char *out, u32 max);
/* Object of descriptor @fd: no reference is taken, but the owner holds it. -EBADF, -EINVAL. */
int ebpf_call_obj(struct ebpf_call *call, s32 fd, u32 kind, struct ebpf_obj **out);
/* Make @obj the result; takes the caller's reference. */
int ebpf_call_result(struct ebpf_call *call, struct ebpf_obj *obj);
/* The kernel's rule for names: alphanumeric, _ and ., NUL-terminated, zero behind. Length or
 * -EINVAL. */
int ebpf_name_copy(char out[BPF_OBJ_NAME_LEN], const char *in);
void ebpf_call_why(struct ebpf_call *call, const char *fmt, ...) __printf_like(2, 3);
/* Are all bytes of the attribute from @from on zero? */
bool ebpf_attr_zero_from(const struct ebpf_call *call, u32 from);

#define EBPF_KEY(field) ((u32)offsetof(union bpf_attr, field))

int ebpf_cmd_map_create(struct ebpf_call *call);
int ebpf_cmd_map_elem(struct ebpf_call *call);
int ebpf_cmd_map_freeze(struct ebpf_call *call);
int ebpf_cmd_prog_load(struct ebpf_call *call);
int ebpf_prog_load_done(struct ebpf_call *call, int err); /* after backend->prog_build() */
int ebpf_cmd_prog_test_run(struct ebpf_call *call);
int ebpf_cmd_prog_bind_map(struct ebpf_call *call);
int ebpf_cmd_btf_load(struct ebpf_call *call);
int ebpf_cmd_link_create(struct ebpf_call *call);
int ebpf_cmd_link_update(struct ebpf_call *call);
int ebpf_cmd_link_detach(struct ebpf_call *call);
int ebpf_cmd_task_fd_query(struct ebpf_call *call);
int ebpf_cmd_info(struct ebpf_call *call);
int ebpf_cmd_pin(struct ebpf_call *call);
int ebpf_cmd_obj_get(struct ebpf_call *call);

/* Names have gone: drop the pins whose file has none any more. */
void ebpf_pin_sync(struct ebpf_table *t);

/* Make a map that no client asked for (the trace ring). */
int ebpf_map_new(struct ebpf_table *t, const struct ebpf_map_meta *meta, struct ebpf_map_obj **out);

/* inner_cmd.c: maps of maps */
int ebpf_inner_make(struct ebpf_map_obj *m, const struct ebpf_map_meta *like);
void ebpf_inner_free(struct ebpf_map_obj *m);
int ebpf_inner_elem(struct ebpf_call *call, struct ebpf_map_obj *m, const void *key);
/* Call @fn with each inner map that @m holds. */
void ebpf_inner_each(struct ebpf_map_obj *m, void (*fn)(struct ebpf_map_obj *inner, void *cookie),
		     void *cookie);
/* What waited is stored where programs see it. */
void ebpf_inner_publish(struct ebpf_map_obj *m);

/* btf_check.c: is @data a well-formed BTF? The reason goes to @log. Pure, bounded. */
int ebpf_btf_check(const u8 *data, u32 size, struct ebpf_log *log);
/* The same for a file of whatever size, which nobody loads. */
int ebpf_btf_check_form(const u8 *data, u32 size, struct ebpf_log *log);
/* Bytes of type @id of a checked BTF, or -EINVAL. */
s64 ebpf_btf_type_size(const u8 *data, u32 size, u32 id);
u32 ebpf_btf_nr_types(const u8 *data, u32 size);
/* Kind of type @id (BTF_KIND_*), or -EINVAL. */
int ebpf_btf_kind(const u8 *data, u32 size, u32 id);
