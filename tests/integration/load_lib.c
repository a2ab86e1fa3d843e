// SPDX-License-Identifier: BSD-2-Clause
/* Variables of a thread that only the loader finds: __tls_get_addr() once a call. */
static __thread long counter;
static __thread char room[20000]; /* too large for what is kept for libraries that come later */

long *load_counter(void);
char *load_room(void);

long *load_counter(void)
{
	return &counter;
}

char *load_room(void)
{
	return room;
}
