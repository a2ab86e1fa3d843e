/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Where our own files are, installed or in a build tree, and the environment of a program that is
 * started under the agent.
 *
 * Rules: an environment variable wins; then what lies beside the running program (a build tree must
 * never pick up an installed agent of another version); then the place it was installed to. $HOME
 * and $PATH are never asked.
 */
#include "client/client.h"

#include <elf.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "proto/shm_abi.h"

#define SOCKET_PATH_MAX 108

extern char **environ;

static int take(const char *candidate, char *path, size_t size)
{
	if (access(candidate, R_OK))
		return -errno;
	if (snprintf(path, size, "%s", candidate) >= (int)size)
		return -ENAMETOOLONG;
	return 0;
}

static int find_sibling(const char *name, char *path, size_t size)
{
	char self[4096], candidate[4352];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	char *slash;

	if (n <= 0)
		return -ENOENT;
	self[n] = 0;
	slash = strrchr(self, '/');
	if (!slash)
		return -ENOENT;
	*slash = 0;
	snprintf(candidate, sizeof(candidate), "%s/%s", self, name);
	return take(candidate, path, size);
}

/* What the loader would preload: neither a program nor anything else that somebody has named. */
static bool is_library(const char *path)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	Elf64_Ehdr eh;
	Elf64_Phdr ph;

	if (fd < 0 || pread(fd, &eh, sizeof(eh), 0) != sizeof(eh) ||
	    memcmp(eh.e_ident, ELFMAG, SELFMAG) != 0 || eh.e_ident[EI_CLASS] != ELFCLASS64 ||
	    eh.e_type != ET_DYN || eh.e_phentsize != sizeof(ph))
		return false;
	for (int i = 0; i < eh.e_phnum; i++)
		if (pread(fd, &ph, sizeof(ph), (off_t)(eh.e_phoff + i * sizeof(ph))) !=
			    sizeof(ph) ||
		    ph.p_type == PT_INTERP)
			return false;
	return true;
}

int client_find_file(const char *env, const char *name, const char *dir, char *path, size_t size)
{
	const char *set = secure_getenv(env);
	char candidate[4096];

	if (set && *set) {
		if (take(set, path, size))
			return client_fail(-ENOENT, "$%s names %s: %s", env, set, strerror(errno));
		if (!is_library(set))
			return client_fail(-ENOEXEC, "$%s names %s, which is no %s; unset it", env,
					   set, name);
		return 0;
	}
	if (!find_sibling(name, path, size))
		return 0;
	snprintf(candidate, sizeof(candidate), "%s/%s", dir, name);
	if (!take(candidate, path, size))
		return 0;
	return client_fail(-ENOENT,
			   "%s is not installed: neither beside the program nor in %s; set $%s",
			   name, dir, env);
}

__export int ebpfrt_agent_path(char *path, size_t size)
{
	return client_find_file("EBPFRT_AGENT", "libebpfrt-agent.so", EBPFRT_PKGLIBDIR, path, size);
}

__export int ebpfrt_surface_path(char *path, size_t size)
{
	return client_find_file("EBPFRT_SURFACE", "libebpfrt-surface.so", EBPFRT_PKGLIBDIR, path,
				size);
}

long client_own_status(const char *field)
{
	_cleanup_fclose_ FILE *f = fopen("/proc/self/status", "re");
	size_t n = strlen(field);
	char line[256];

	while (f && fgets(line, sizeof(line), f)) {
		if (!strncmp(line, field, n) && line[n] == ':')
			return strtol(line + n + 1, NULL, 10);
	}
	return -1;
}

struct token {
	u64 value;
	char socket[SOCKET_PATH_MAX];
};

static int get_token(struct token *out)
{
	_cleanup_frame_ struct frame reply = FRAME_INIT;
	int err = client_request(MSG_TOKEN, NULL, 0, &reply, "cannot get a token for the program");

	if (err < 0)
		return err;
	if (reply.len < sizeof(u64) + 1)
		return client_fail(-EPROTO, "the daemon sent a token of %zu bytes", reply.len);
	memset(out, 0, sizeof(*out));
	memcpy(&out->value, reply.body, sizeof(u64));
	memcpy(out->socket, reply.body + sizeof(u64),
	       MIN(reply.len - sizeof(u64), sizeof(out->socket)));
	out->socket[SOCKET_PATH_MAX - 1] = 0;
	return 0;
}

static bool is_named(const char *entry, const char *name)
{
	size_t n = strlen(name);

	return !strncmp(entry, name, n) && entry[n] == '=';
}

static bool is_ours(const char *entry)
{
	return is_named(entry, "LD_PRELOAD") || is_named(entry, AGENT_ENV_SOCKET) ||
	       is_named(entry, AGENT_ENV_TOKEN);
}

static const char *lookup(char *const *env, const char *name)
{
	for (; *env; env++) {
		if (is_named(*env, name))
			return *env + strlen(name) + 1;
	}
	return NULL;
}

static char *put_preload(char *text, const char *first, const char *agent, const char *preload)
{
	if (first)
		text += sprintf(text, "LD_PRELOAD=%s:%s", first, agent);
	else
		text += sprintf(text, "LD_PRELOAD=%s", agent);
	return text + sprintf(text, "%s%s", *preload ? ":" : "", preload) + 1;
}

/*
 * One block: the pointers, then the strings that are new. The others stay the caller's. What the
 * agent is to take out again is an even number.
 */
static char **extend(char *const *env, const char *first, const char *agent,
		     const struct token *token)
{
	const char *preload = lookup(env, "LD_PRELOAD") ?: "";
	size_t n = 0, room = (first ? strlen(first) : 0) + strlen(agent) + strlen(preload) +
			     2 * SOCKET_PATH_MAX + 128;
	char **out, *text;
	size_t k = 0;

	while (env[n])
		n++;
	out = malloc((n + 5) * sizeof(*out) + room);
	if (!out)
		return NULL;
	text = (char *)(out + n + 5);
	for (size_t i = 0; i < n; i++) {
		if (!is_ours(env[i]))
			out[k++] = env[i];
	}
	out[k++] = text;
	text = put_preload(text, first, agent, preload);
	out[k++] = text;
	text += sprintf(text, AGENT_ENV_SOCKET "=%s", token->socket) + 1;
	out[k++] = text;
	text += sprintf(text, AGENT_ENV_TOKEN "=%llu:%ld%s", (unsigned long long)token->value,
			MAX(client_own_status("Seccomp_filters"), 0L),
			first ? AGENT_TOKEN_HIDE : "") +
		1;
	if (first && !*preload) {
		out[k++] = text;
		strcpy(text, AGENT_ENV_PAD "=");
	}
	out[k] = NULL;
	return out;
}

__export int ebpfrt_run_environment(char *const *env, char ***out)
{
	return client_run_environment(env, NULL, out);
}

int client_run_environment(char *const *env, const char *first, char ***out)
{
	struct token token;
	char agent[4096];
	char **block;
	int err;

	err = ebpfrt_agent_path(agent, sizeof(agent));
	if (err)
		return err;
	/* LD_PRELOAD is split at both */
	if (strpbrk(agent, " :"))
		return client_fail(-EINVAL,
				   "the agent's path %s holds a space or colon, which LD_PRELOAD "
				   "can't express; set $EBPFRT_AGENT to another",
				   agent);
	err = get_token(&token);
	if (err)
		return err;
	block = extend(env ? env : environ, first, agent, &token);
	if (!block)
		return client_fail(-ENOMEM, "out of memory");
	*out = block;
	return 0;
}
