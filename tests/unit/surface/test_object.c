/* SPDX-License-Identifier: BSD-2-Clause */
/* The life of descriptors: what the daemon hears when they are closed, copied, inherited. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "fake.h"
#include "surface/surface.h"

TestSuite(object, .init = fake_start, .fini = fake_stop, .timeout = 20);

static int a_map(void)
{
	int fd = fake_map(BPF_MAP_TYPE_ARRAY, 4, 8, 1, 0);

	cr_assert_geq(fd, 0);
	return fd;
}

static int lookup(int fd)
{
	u32 key = 0;
	u64 value;
	union bpf_attr a = {.map_fd = (u32)fd, .key = (u64)&key, .value = (u64)&value};

	return bpf_call(BPF_MAP_LOOKUP_ELEM, &a, sizeof(a)) < 0 ? -errno : 0;
}

Test(object, last_close_is_told)
{
	int fd = a_map(), copy = dup(fd);
	struct stat st;

	cr_assert_eq(fstat(fd, &st), 0);
	close(fd);
	cr_assert_eq(lookup(copy), 0);
	cr_assert_eq(fake->closed, 0);
	close(copy);
	fake_expect(&fake->closed, 1);
	cr_assert_eq(fake->last_closed.ino, st.st_ino);
}

Test(object, dup2_over_it_closes_it)
{
	int fd = a_map();

	cr_assert_eq(dup2(0, fd), fd);
	fake_expect(&fake->closed, 1);
	fd = a_map();
	cr_assert_eq(dup3(0, fd, O_CLOEXEC), fd);
	fake_expect(&fake->closed, 2);
}

Test(object, close_range_closes_but_spares_the_connection)
{
	int fd = a_map(), keep = surface_poll_fd();

	cr_assert_geq(keep, 100);
	cr_assert_eq(close_range((unsigned int)fd, ~0U, 0), 0);
	fake_expect(&fake->closed, 1);
	cr_assert_eq(surface_poll_fd(), keep);
	cr_assert_eq(fake->connections, 1);
}

Test(object, the_connection_gives_way_and_can_be_lost)
{
	int fd = a_map(), conn = surface_poll_fd();

	cr_assert_eq(close(conn), -1);
	cr_assert_eq(errno, EBADF);
	cr_assert_eq(dup2(0, conn), conn);
	cr_assert_neq(surface_poll_fd(), conn);
	a_map();
	cr_assert_eq(fake->connections, 1);
	/* behind our back: a new connection learns what this process holds */
	syscall(SYS_close, surface_poll_fd());
	a_map();
	cr_assert_eq(fake->connections, 2);
	cr_assert_geq(fake->asked, 1);
	cr_assert_eq(lookup(fd), 0);
}

Test(object, a_forked_child_has_its_own_connection)
{
	int fd = a_map(), status;
	pid_t pid = fork();

	if (pid == 0) {
		int mine = fake_map(BPF_MAP_TYPE_ARRAY, 4, 8, 1, 0);

		if (mine < 0 || fake->connections != 2 || fake->asked != 1)
			_exit(1);
		_exit(lookup(fd) ? 2 : 0);
	}
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	cr_assert_eq(status, 0);
	cr_assert_eq(fake->closed, 0, "the child's end is no close of the parent's");
	cr_assert_eq(lookup(fd), 0);
}

Test(object, a_child_that_only_closes_says_nothing)
{
	int fd = a_map(), status;
	pid_t pid = fork();

	if (pid == 0) {
		close(fd);
		_exit(0);
	}
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	pid = vfork();
	if (pid == 0) {
		close(fd);
		_exit(0);
	}
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	cr_assert_eq(lookup(fd), 0);
	cr_assert_eq(fake->closed, 0);
	cr_assert_eq(fake->connections, 1);
}

Test(object, errno_survives)
{
	int fd = a_map();

	errno = ERANGE;
	cr_assert_eq(lookup(fd), 0);
	cr_assert_eq(errno, ERANGE);
	close(fd);
	cr_assert_eq(errno, ERANGE);
}
