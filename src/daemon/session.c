/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <unistd.h>
#include "daemon/daemon.h"
#define NOT(name)                                                                                  \
	void name(struct client *c, const struct frame *f)                                         \
	{                                                                                          \
		client_reply(c, &f->hdr, -ENOSYS, NULL, 0, NULL, 0, NULL);                         \
	}
NOT(session_adopt_request)
NOT(session_drop_request)
NOT(session_targets_request)
NOT(session_links_request)
NOT(session_link_drop_request)
NOT(session_batch_request)
NOT(session_token_request)
void session_gone(struct daemon *d, u32 session)
{
}
u32 session_ntargets(struct daemon *d)
{
	return 0;
}
int attach_link(struct ebpf_call *call, struct ebpf_link_obj *l)
{
	return 0;
}
void attach_detach(struct ebpf_link_obj *l)
{
	perf_link_gone(l);
}
int attach_update(struct ebpf_call *call, struct ebpf_link_obj *l, struct ebpf_prog_obj *old)
{
	return 0;
}
void attach_enable(struct ebpf_link_obj *l, bool on)
{
}
int attach_slot_set(struct ebpf_map_obj *map, u32 index, struct ebpf_obj *obj)
{
	return 0;
}
void attach_prog_stats(struct ebpf_prog_obj *prog, u64 *cnt, u64 *ns, u64 *missed)
{
}
void agent_accept(struct daemon *d, int fd)
{
	close(fd);
}
void targets_drop_all(struct daemon *d)
{
}
