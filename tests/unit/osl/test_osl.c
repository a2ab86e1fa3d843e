/* SPDX-License-Identifier: BSD-2-Clause */
/* Shared memory, seals, images and identity in process context. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "osl/osl.h"

Test(osl, shm_is_zeroed_and_shared)
{
	int fd = osl_shm_create("t", 8192);
	u8 *a, *b;

	cr_assert_geq(fd, 0);
	cr_assert_eq(osl_shm_size(fd), 8192);
	cr_assert_eq(fcntl(fd, F_GETFD), FD_CLOEXEC);
	cr_assert_eq(osl_shm_map(fd, 0, 8192, true, (void **)&a), 0);
	cr_assert_eq(osl_shm_map(fd, 4096, 4096, false, (void **)&b), 0);
	cr_assert_eq(a[4096], 0);
	a[4097] = 7;
	cr_assert_eq(b[1], 7);
	osl_shm_unmap(a, 8192);
	osl_shm_unmap(b, 4096);
	close(fd);
}

Test(osl, size_seal)
{
	int fd = osl_shm_create("t", 4096);

	cr_assert_eq(osl_shm_seals(fd), 0);
	cr_assert_eq(osl_shm_seal(fd, OSL_SEAL_SIZE), 0);
	cr_assert_eq(osl_shm_seals(fd), (int)OSL_SEAL_SIZE);
	cr_assert_eq(ftruncate(fd, 0), -1);
	cr_assert_eq(ftruncate(fd, 8192), -1);
}

Test(osl, future_write_seal_keeps_old_mappings)
{
	int fd = osl_shm_create("t", 4096);
	void *p, *q = NULL;

	cr_assert_eq(osl_shm_map(fd, 0, 4096, true, &p), 0);
	cr_assert_eq(osl_shm_seal(fd, OSL_SEAL_FUTURE_WRITE), 0);
	*(char *)p = 1;
	cr_assert_eq(osl_shm_map(fd, 0, 4096, true, &q), -EPERM);
	cr_assert_null(q);
	cr_assert_eq(osl_shm_map(fd, 0, 4096, false, &q), 0);
}

Test(osl, seals_of_other_files)
{
	int p[2];

	cr_assert_eq(pipe(p), 0);
	cr_assert_eq(osl_shm_seals(p[0]), -EINVAL);
	cr_assert_eq(osl_shm_seals(-1), -EBADF);
	cr_assert_eq(osl_shm_seal(p[1], OSL_SEAL_SIZE), -EINVAL);
}

#ifdef __x86_64__
Test(osl, image_runs_and_is_immutable)
{
	static const u8 code[] = {0xb8, 0x2a, 0, 0, 0, 0xc3}; /* mov $42,%eax; ret */
	int fd = osl_image_create("i", code, sizeof(code));
	int (*fn)(void);
	void *p;

	cr_assert_geq(fd, 0);
	cr_assert_eq(osl_shm_seals(fd), (int)(OSL_SEAL_SIZE | OSL_SEAL_WRITE));
	cr_assert_lt(write(fd, "x", 1), 0);
	cr_assert_eq(osl_shm_map(fd, 0, 4096, true, &p), -EPERM);
	cr_assert_eq(osl_image_map(fd, sizeof(code), (void **)&fn), 0);
	cr_assert_eq(fn(), 42);
}
#endif

Test(osl, identity_follows_the_object)
{
	int a = osl_shm_create("t", 1), b = osl_shm_create("t", 1), c = dup(a);
	struct osl_ident ia, ib, ic;

	cr_assert_eq(osl_ident(a, &ia), 0);
	cr_assert_eq(osl_ident(b, &ib), 0);
	cr_assert_eq(osl_ident(c, &ic), 0);
	cr_assert(ia.dev == ic.dev && ia.ino == ic.ino);
	cr_assert(ia.ino != ib.ino);
	cr_assert_eq(osl_ident(-1, &ia), -EBADF);
}

Test(osl, possible_cpus)
{
	u32 n = osl_nr_cpus();

	cr_assert_geq(n, (u32)sysconf(_SC_NPROCESSORS_ONLN));
	cr_assert_eq(n, osl_nr_cpus());
}

Test(osl, absurd_size)
{
	cr_assert_eq(osl_shm_create("t", ~0ull), -EFBIG);
}
