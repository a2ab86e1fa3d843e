/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The object table behind bpf(2): maps, programs, BTFs, links and perf events, with their ids,
 * names and lifetimes.
 *
 * Model: an object is counted. A *user* reference (a client that holds a descriptor, a pin) keeps
 * it findable from outside; a plain reference (a program's map, a link's program) only keeps it
 * alive. When the last user reference of a map goes, the entries of a PROG_ARRAY and a
 * PERF_EVENT_ARRAY are dropped, which is what breaks cycles, as in the kernel. Ids ascend and are
 * not reused before they wrap.
 *
 * A descriptor names an object by its identity (st_dev, st_ino). Maps, programs and BTFs are
 * memfds and have one name; links and perf events are sockets, one name for each descriptor given
 * out (struct ebpf_name, owned by who made that socket).
 *
 * One thread only; process context.
 */
#pragma once

#include "base/list.h"
#include "core/load/load.h"
#include "core/run/map/map.h"
#include "osl/osl.h"

enum ebpf_obj_kind {
	EBPF_OBJ_NONE,
	EBPF_OBJ_MAP,
	EBPF_OBJ_PROG,
	EBPF_OBJ_BTF,
	EBPF_OBJ_LINK,
	EBPF_OBJ_PERF,
	EBPF_OBJ_KINDS
};

struct ebpf_table;
struct ebpf_obj;

struct ebpf_name {
	struct list_head node; /* table->names */
	struct osl_ident ident;
	struct ebpf_obj *obj;
};

struct ebpf_obj {
	struct list_head node;	/* table->objs[kind], ascending id */
	struct list_head by_id; /* table->ids */
	struct ebpf_table *table;
	struct ebpf_name name_of_fd;
	u32 kind; /* enum ebpf_obj_kind */
	u32 id;
	u32 refs;     /* all */
	u32 urefs;    /* those of clients and pins */
	u32 uid;      /* who made it */
	bool hidden;  /* not enumerated */
	int fd;	      /* the memfd, or -1 */
	u64 size;     /* of the memfd */
	u64 since_ns; /* osl_now_ns() when it was made */
	char name[BPF_OBJ_NAME_LEN];
	void (*release)(struct ebpf_obj *obj); /* frees what is behind it, and itself */
};

struct ebpf_btf_obj {
	struct ebpf_obj obj;
	u8 *data;
	u32 size;
};

struct ebpf_map_obj {
	struct ebpf_obj obj;
	struct ebpf_map_meta meta;
	struct ebpf_map map; /* bound to our own mapping */
	void *base;
	bool frozen;
	bool delivered; /* a target has it */
	int const_fd;	/* frozen, and what programs get: a sealed copy that nobody can write; or -1
			 */
	struct ebpf_btf_obj *btf;
	u32 btf_key_type_id, btf_value_type_id;
	struct ebpf_obj **slots;  /* PROG_ARRAY, PERF_EVENT_ARRAY: max_entries references */
	struct ebpf_outer *outer; /* maps of maps: what they hold (inner_cmd.c) */
};

/*
 * What a map of maps holds. @own is the truth: an array or hash table of ids in private memory,
 * with a reference to each object. The shared memory follows, at once or, while targets don't have
 * the inner map yet, when they do: until then changes wait in @later, in order.
 */
struct ebpf_outer {
	struct ebpf_map_meta like; /* the inner map it was made with */
	struct ebpf_map own;
	void *memory;		/* of @own */
	struct list_head later; /* struct ebpf_inner_change */
};

struct ebpf_inner_change {
	struct list_head node;
	u32 id; /* 0: the element goes */
	u8 key[];
};

struct ebpf_info_blob {
	u8 *data;
	u32 cnt, rec_size;
};

struct ebpf_prog_obj {
	struct ebpf_obj obj;
	u32 type, expected_attach_type;
	u8 tag[BPF_TAG_SIZE];
	bool gpl;
	struct bpf_insn *xlated; /* as shown by info: map ids in place of descriptors */
	u32 ninsns;
	u8 *image; /* private copy of the memfd's contents */
	u32 image_size;
	struct ebpf_map_obj *maps[EBPF_MAX_USED_MAPS];
	u32 nmaps; /* of these, the first image->nmaps are those of the image, then bound ones */
	struct ebpf_btf_obj *btf;
	struct ebpf_btf_obj *target; /* of a typed program: the types of what it probes */
	struct ebpf_info_blob func_info, line_info;
	u64 run_cnt, run_time_ns, missed; /* of targets that are gone */
};

struct ebpf_link_obj {
	struct ebpf_obj obj;
	u32 type; /* BPF_LINK_TYPE_* */
	u32 attach_type;
	struct ebpf_prog_obj *prog;
	struct ebpf_obj *event; /* the perf event of a perf link */
	char *path;
	struct osl_ident file; /* what @path names */
	bool is_ret;
	bool is_session; /* at entry and return */
	bool detached;
	s32 pid; /* -1: all targets of the session */
	u32 nsites;
	u64 *offsets;
	u64 *cookies; /* one a site */
	u64 *ref_ctrs;
	bool partial; /* what can't be probed is left out */
	u32 flags;
	u32 session;
	void *priv; /* the backend's */
};

struct ebpf_pin {
	struct list_head node;
	struct ebpf_obj *obj;
	struct osl_ident file; /* the names are those of this file */
	int fd;		       /* the backend's, keeps the file from being another one */
};

struct ebpf_backend;
struct ebpf_table {
	struct list_head objs[EBPF_OBJ_KINDS];
	u32 next_id[EBPF_OBJ_KINDS];
	u32 count[EBPF_OBJ_KINDS];
	struct list_head names[256];
	struct list_head ids[1024]; /* consecutive ids in consecutive ones */
	struct list_head pins;
	u32 npins;
	u64 map_bytes, map_bytes_max; /* quota of shared memory, 0: none */
	u32 objs_max;		      /* quota of objects in all, 0: none */
	const struct ebpf_backend *backend;
	void *cookie; /* the backend's */
};

void ebpf_table_init(struct ebpf_table *t);
/* pin.c: drop all pins. Objects go when their last reference does. */
void ebpf_table_drop_pins(struct ebpf_table *t);

/*
 * Enter @obj (zeroed, release set) with one plain reference, owned by the caller; takes @fd and its
 * identity, -1: none. 0 or -errno; on failure the caller still owns @obj and @fd.
 */
int ebpf_obj_init(struct ebpf_table *t, struct ebpf_obj *obj, u32 kind, int fd, u64 size);
struct ebpf_obj *ebpf_obj_get(struct ebpf_obj *obj);
void ebpf_obj_put(struct ebpf_obj *obj); /* NULL-safe */
void ebpf_obj_get_user(struct ebpf_obj *obj);
void ebpf_obj_put_user(struct ebpf_obj *obj);

void ebpf_name_add(struct ebpf_table *t, struct ebpf_name *name, struct ebpf_obj *obj,
		   const struct osl_ident *ident);
void ebpf_name_del(struct ebpf_name *name); /* idempotent */
/* No reference is taken. NULL: no such object. */
struct ebpf_obj *ebpf_obj_by_ident(struct ebpf_table *t, const struct osl_ident *ident);
struct ebpf_obj *ebpf_obj_by_id(struct ebpf_table *t, u32 kind, u32 id);
/* Smallest id above @id, 0: none. */
u32 ebpf_obj_next_id(struct ebpf_table *t, u32 kind, u32 id);

static inline struct ebpf_map_obj *ebpf_obj_map(struct ebpf_obj *o)
{
	return container_of(o, struct ebpf_map_obj, obj);
}

static inline struct ebpf_prog_obj *ebpf_obj_prog(struct ebpf_obj *o)
{
	return container_of(o, struct ebpf_prog_obj, obj);
}

static inline struct ebpf_btf_obj *ebpf_obj_btf(struct ebpf_obj *o)
{
	return container_of(o, struct ebpf_btf_obj, obj);
}

static inline struct ebpf_link_obj *ebpf_obj_link(struct ebpf_obj *o)
{
	return container_of(o, struct ebpf_link_obj, obj);
}

/*
 * Who holds objects from outside: a client connection. Holding the same object twice counts once.
 */
struct ebpf_owner {
	struct ebpf_obj **held;
	u32 n, room;
	u32 max; /* quota, 0: none */
};
int ebpf_owner_hold(struct ebpf_owner *o, struct ebpf_obj *obj); /* 0, -ENOMEM, -ENFILE */
void ebpf_owner_drop(struct ebpf_owner *o, struct ebpf_obj *obj);
void ebpf_owner_drop_all(struct ebpf_owner *o);
