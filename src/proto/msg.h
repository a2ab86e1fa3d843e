/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The contract between client and daemon: requests and replies over one SEQPACKET connection.
 *
 * Model: a request is a struct msg followed by its body; a reply repeats type and seq and carries
 * err. One request at a time per connection (the client library serialises); the daemon may answer
 * late but answers in order. Payloads of more than MSG_INLINE_MAX bytes travel in a sealed memfd
 * attached as the last descriptor (MSG_F_MEMFD), which the receiver copies before looking at it.
 * Bump MSG_ABI whenever anything here changes.
 *
 * A client names objects by the identity (st_dev, st_ino) of the descriptors it holds: no table of
 * descriptors has to follow dup, fork or exec.
 */
#pragma once

#include "core/run/map/map.h"
#include "osl/osl.h"

#define MSG_ABI 14u
#define MSG_NAMES_DIR "bpf"
#define MSG_INLINE_MAX 60000u
#define MSG_PAYLOAD_MAX (64u << 20)
#define MSG_FDS_MAX 4u

enum msg_type {
	MSG_HELLO = 1,	/* struct msg_hello -> struct msg_welcome + fds: bells, life */
	MSG_BPF,	/* a bpf(2) command: struct msg_bpf ... (below) */
	MSG_PERF_OPEN,	/* struct msg_perf_open + path -> struct msg_object + fd */
	MSG_PERF_IOCTL, /* struct msg_perf_ioctl -> nothing */
	MSG_PERF_MMAP,	/* struct msg_perf_mmap -> fd of the ring's memory */
	MSG_OBJECT,  /* struct osl_ident -> struct msg_object (+ fd for rings: their memory) : what
			is this fd? */
	MSG_EVENTFD, /* struct osl_ident -> fd to poll in place of a ring or perf event */
	MSG_CLOSED,  /* struct osl_ident; no reply: this process holds no descriptor of the object
			any more */
	MSG_NAMES,   /* nothing -> nothing: names below the pin directory, which is MSG_NAMES_DIR in
			the runtime directory, have gone; returns when their pins have */
	MSG_TARGET_ADOPT, /* struct msg_target: cover this process by the session -> struct
			     msg_target_info */
	MSG_TARGET_DROP,  /* struct msg_target: detach it from all sessions */
	MSG_TARGET_LIST,  /* -> struct msg_target_info[] */
	MSG_LINK_LIST, /* struct msg_link_query -> struct msg_link_info[] : links with their sites
			  and counters */
	MSG_LINK_DROP, /* u32 link id: detach it wherever it is */
	MSG_TOKEN,     /* -> u64 token for AGENT_ENV_TOKEN + char path[108] for AGENT_ENV_SOCKET */
	MSG_ATTACH_BATCH, /* u32 begin: attach requests are collected until MSG_ATTACH_BATCH 0,
		      which applies them in one exchange */
	MSG_LOG, /* u32 scope (0 this session's targets, 1 all): from now on MSG_LOG_LINES come
		    unasked, seq 0 */
	MSG_LOG_LINES, /* daemon to client: struct msg_log_line + text, repeated */
	MSG_EVENT,     /* daemon to client, seq 0: struct msg_event: a target ended, a link became
			  attached or lost */
	MSG_STATUS,    /* -> struct msg_status */
	MSG_SHUTDOWN,  /* u32 force: detach everything and leave -> nothing */
	/*
	 * -> nothing: a descriptor of a link or perf event was closed, a link detached, an array
	 * of programs or events changed; the kernel's calls return only then: answered when the
	 * targets have it (at once within a batch)
	 */
	MSG_RELEASED,
	MSG_SITE_LIST, /* struct msg_link_query -> struct msg_site_info[] : what stands where */
	MSG_HOLD,      /* u32 on: a process of the session that has a new program or other libraries
			  waits, for a while, until MSG_SETTLED */
	MSG_SETTLED,   /* s32 pid: whatever MSG_EVENT_MODULES was a reason for is done */
	MSG_TYPES      /* one more than the last */
};

enum msg_flags { MSG_F_MEMFD = 1 };

struct msg {
	u32 len; /* of struct msg and the inline body */
	u16 type;
	u16 flags;
	u32 abi;
	s32 err; /* replies: 0, positive result of a bpf command, or -errno */
	u64 seq;
	u64 payload; /* bytes in the memfd when MSG_F_MEMFD */
	u32 nfds;
	u32 text; /* bytes of error text at the end of the body: a sentence for the person, no
		     newline */
};

struct msg_hello {
	u32 pid;
	u32 flags;     /* MSG_HELLO_* */
	char name[32]; /* of the program, for `ebpfrt ps` */
};
#define MSG_HELLO_PRIVATE 1u   /* the daemon belongs to this client and leaves with it */
#define MSG_HELLO_INTERPRET 2u /* the programs it loads get no machine code */

struct msg_welcome {
	u32 participant;
	u32 nr_cpus;
	u32 bells_size;
	u32 life_size;
	u32 pid; /* of the daemon */
	u32 session;
	char version[32];
};

/* what an object is; the fd of the reply, where there is one, is its descriptor for the client */
enum msg_object_kind {
	MSG_OBJ_NONE,
	MSG_OBJ_MAP,
	MSG_OBJ_PROG,
	MSG_OBJ_BTF,
	MSG_OBJ_LINK,
	MSG_OBJ_PERF
};
struct msg_object {
	u32 kind;
	u32 id;
	struct osl_ident ident;
	u64 size; /* of the shared memory */
	u32 frozen;
	u32 local; /* a map whose elements the client reads and writes itself, in shared memory */
	struct ebpf_map_meta meta; /* maps only */
};

/*
 * MSG_BPF. The attribute union travels as it is; what its pointers point to travels as numbered
 *buffers. Body:
 *
 *	struct msg_bpf | attr (attr_size) | struct msg_fd[nfds] | struct msg_buf[nbufs] | data of
 *the input buffers, each padded to 8
 *
 * Reply (err >= 0 or not, a log is returned either way):
 *
 *	struct msg_bpf | attr (changed fields included) | struct msg_buf[nbufs] | data of the output
 *buffers, padded to 8
 *	(+ struct msg_object before the fd when the command makes or finds one: as buffer
 *MSG_BUF_OBJECT)
 */
struct msg_bpf {
	u32 cmd;
	u32 attr_size;
	u32 nfds;
	u32 nbufs;
};
/* descriptor numbers as they appear in the attr or in instructions, and whose they are */
struct msg_fd {
	s32 fd;
	u32 pad;
	struct osl_ident ident;
};
/* buffer @key: the offset of the pointer field in union bpf_attr, or (info structs) MSG_BUF_NESTED
 * + its offset there */
struct msg_buf {
	u32 key;
	u32 in;	 /* bytes of data that come with the request */
	u32 out; /* request: room for output; reply: bytes that follow */
	u32 pad;
};
#define MSG_BUF_NESTED 0x10000u
#define MSG_BUF_OBJECT 0x20000u
/* PROG_LOAD: struct msg_kfunc[], what kernel functions are called that the program numbers */
#define MSG_BUF_KFUNCS 0x40000u
/* PROG_LOAD: struct ebpf_callee[] (core/run/callee.h), functions of targets that it calls */
#define MSG_BUF_CALLEES 0x80000u
#define MSG_KFUNCS_MAX 64u
struct msg_kfunc {
	u32 id;
	char name[60]; /* "" when it isn't known */
};

/*
 * The type number of the uprobe event source, as /sys/bus/event_source/devices/uprobe/type reads on
 * the surface. bit 0 of attr.config: at the return; bits 32..63: offset of a reference counter.
 * Out of the range that real kernels hand out, so that other events still reach the kernel.
 */
#define MSG_PERF_TYPE_UPROBE 253u

struct msg_perf_open {
	u8 attr[128]; /* struct perf_event_attr, zero-extended */
	s32 pid, cpu;
	u64 flags;
	u32 path_len; /* the string config1 or uprobe_path pointed to follows */
	u32 pad;
};

struct msg_perf_ioctl {
	struct osl_ident event;
	u64 request;
	u64 arg;
	struct osl_ident prog; /* PERF_EVENT_IOC_SET_BPF */
};

struct msg_perf_mmap {
	struct osl_ident event;
	u64 size; /* bytes: 1 + 2^n pages */
};

struct msg_target {
	s32 pid;   /* 0 with MSG_TARGET_DROP: all */
	u32 flags; /* MSG_TARGET_* */
};
#define MSG_TARGET_FOLLOW 1u /* forked children are covered as well */

struct msg_target_info {
	s32 pid;
	u32 how;	/* 1 preloaded, 2 injected, 3 forked */
	u64 start_time; /* field 22 of /proc/PID/stat */
	u64 stopped_ns; /* how long injection held a thread, all in all */
	u64 longest_ns; /* and at a time */
	u32 nsites;
	u32 nlinks;
	u64 hits, missed, aborted, left, foreign, trace_dropped;
	u32 inert;
	u32 sessions;
	u32 found; /* 1: the agent was there already */
	u32 stops; /* how often it was held */
	u64 jumps; /* of the sites, those that are jumps, as its agent says */
	char comm[16];
};

struct msg_link_query {
	u32 id;	 /* 0: all */
	u32 pid; /* 0: all */
};

enum msg_link_state { MSG_LINK_PENDING = 1, MSG_LINK_ATTACHED, MSG_LINK_FAILED };
/*
 * One row per link and target; one with pid 0 for a link without any, and for what it counted in
 * targets that have ended. A client sees what its own links counted after they are gone, too.
 */
struct msg_link_info {
	u32 link, prog;
	s32 pid;
	u32 state; /* enum msg_link_state */
	s32 err;   /* why it failed */
	u32 is_ret;
	u32 is_session; /* entry and return */
	u32 pad;
	u64 addr;   /* in the target */
	u64 offset; /* in the file */
	u64 cookie;
	u64 hits, missed, aborted, left;
	u32 places;  /* that are probed */
	u32 missing; /* that were left out because they can't be; .reason is of the first */
	char prog_name[16];
	char path[240];
	char symbol[96];  /* nearest symbol, "" when unknown */
	char reason[128]; /* of MSG_LINK_FAILED and PENDING: a phrase */
};

/* A place that links probe in a target. */
struct msg_site_info {
	s32 pid;
	u32 rung; /* enum probe_rung that was planned */
	u64 addr;
	u64 offset; /* in the file */
	struct osl_ident file;
};

struct msg_log_line {
	u32 len;  /* of the text that follows, padded to 8; 0: no line, only what was lost */
	u32 lost; /* lines dropped before this one because the reader was slow */
};

enum msg_event_what {
	MSG_EVENT_TARGET_END = 1,
	MSG_EVENT_LINK_ATTACHED,
	MSG_EVENT_LINK_FAILED,
	MSG_EVENT_TARGET_LEFT,	 /* detached by another, or with .err by exec */
	MSG_EVENT_LINK_DETACHED, /* the session's */
	MSG_EVENT_UNFOLLOWED,	 /* it has executed .link programs that are not followed */
	MSG_EVENT_ASLEEP,	 /* its probes sleep, or (.link) are awake again */
	MSG_EVENT_MODULES,	 /* it has a new program, or other libraries */
	MSG_EVENT_LATE,		 /* it has gone on before that was settled */
};

struct msg_event {
	u32 what; /* enum msg_event_what */
	s32 pid;
	u32 link;
	s32 err;
	char why[]; /* of a failure: a sentence, without a zero; it may be missing */
};

struct msg_status {
	u32 pid;
	u32 nclients, ntargets, nmaps, nprogs, nlinks, nbtfs, npins;
	u64 uptime_ns;
	u64 log_lost;
	u32 log_open; /* for who reads the log: lines that wait behind one that is being written */
	u32 pad;
	char version[32];
	char dir[108];
};
