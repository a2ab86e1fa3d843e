/* SPDX-License-Identifier: BSD-2-Clause */
/* Messages, JSON and tables: see out.h for their rules. */
#include "cli/out.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "cli/opt.h"

static enum { COLOR_AUTO, COLOR_ALWAYS, COLOR_NEVER } color_mode;

int out_set_color(const char *when)
{
	if (!strcmp(when, "auto"))
		color_mode = COLOR_AUTO;
	else if (!strcmp(when, "always"))
		color_mode = COLOR_ALWAYS;
	else if (!strcmp(when, "never"))
		color_mode = COLOR_NEVER;
	else
		return -EINVAL;
	return 0;
}

static bool set_and_not_empty(const char *name)
{
	const char *v = getenv(name);

	return v && *v;
}

static bool colored(FILE *stream)
{
	if (color_mode != COLOR_AUTO)
		return color_mode == COLOR_ALWAYS;
	if (set_and_not_empty("NO_COLOR"))
		return false;
	return set_and_not_empty("CLICOLOR_FORCE") || isatty(fileno(stream));
}

const char *out_color(FILE *stream, enum out_color color)
{
	static const char *const codes[] = {"\033[0m", "\033[32m", "\033[33m", "\033[31m",
					    "\033[2m"};

	return colored(stream) ? codes[color] : "";
}

/* Names in messages are strangers': none of them tells a terminal what to do. */
static void put_safely(const char *text, FILE *stream)
{
	for (; *text; text++) {
		const unsigned char c = (unsigned char)*text;

		if ((c < 0x20 && c != '\n' && c != '\t') || c == 0x7f)
			fprintf(stream, "\\x%02x", c);
		else
			fputc(c, stream);
	}
}

static void message(enum out_color color, const char *word, const char *fmt, va_list ap)
{
	_cleanup_free_ char *text = NULL;

	/* results printed so far come first where both go to one place */
	fflush(stdout);
	fprintf(stderr, "%sebpfrt: %s%s", out_color(stderr, color), word,
		out_color(stderr, OUT_PLAIN));
	if (vasprintf(&text, fmt, ap) < 0)
		text = NULL;
	put_safely(text ? text : fmt, stderr);
	fputc('\n', stderr);
}

int out_error(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	message(OUT_BAD, "", fmt, ap);
	va_end(ap);
	return EXIT_FAILURE;
}

void out_warn(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	message(OUT_WARN, "warning: ", fmt, ap);
	va_end(ap);
}

void out_note(const char *fmt, ...)
{
	va_list ap;

	if (common.quiet)
		return;
	va_start(ap, fmt);
	message(OUT_DIM, "", fmt, ap);
	va_end(ap);
}

void out_debug(const char *fmt, ...)
{
	va_list ap;

	if (!common.verbose)
		return;
	va_start(ap, fmt);
	message(OUT_DIM, "", fmt, ap);
	va_end(ap);
}

const char *out_clean(const char *text, char *buf, size_t size)
{
	size_t n = 0;

	for (; *text && n + 5 < size; text++) {
		unsigned char c = (unsigned char)*text;

		if (c >= 0x20 && c < 0x7f)
			buf[n++] = (char)c;
		else
			n += (size_t)sprintf(buf + n, "\\x%02x", c);
	}
	buf[n] = 0;
	return buf;
}

void out_json_put(const struct out_json *json, struct json_object *doc)
{
	int flags = JSON_C_TO_STRING_NOSLASHESCAPE;

	flags |= json->pretty ? JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED
			      : JSON_C_TO_STRING_PLAIN;
	puts(json_object_to_json_string_ext(doc, flags));
	json_object_put(doc);
}

void out_json_event(FILE *stream, const char *type, struct json_object *data)
{
	struct json_object *o = json_object_new_object();

	out_add_str(o, "type", type);
	out_add(o, "data", data);
	fprintf(stream, "%s\n",
		json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN |
							  JSON_C_TO_STRING_NOSLASHESCAPE));
	fflush(stream);
	json_object_put(o);
}

struct json_object *out_log_line_json(const char *line)
{
	struct json_object *o = json_object_new_object();
	char clean[4096], comm[17], ts[32];
	int tid, cpu, at = 0;

	out_add_str(o, "line", out_clean(line, clean, sizeof(clean)));
	/* the name is the first sixteen characters, whatever they are */
	if (strlen(line) < 17 ||
	    sscanf(line + 16, "-%d [%d] %*s %31[0-9.]: bpf_trace_printk: %n", &tid, &cpu, ts,
		   &at) != 3 ||
	    !at)
		return o;
	snprintf(comm, sizeof(comm), "%.16s", line);
	out_add_str(o, "comm", out_clean(comm + strspn(comm, " "), clean, sizeof(clean)));
	out_add_s64(o, "tid", tid);
	out_add_s64(o, "cpu", cpu);
	out_add(o, "ts", json_object_new_double_s(strtod(ts, NULL), ts));
	out_add_str(o, "text", out_clean(line + 16 + at, clean, sizeof(clean)));
	return o;
}

void out_table_init(struct out_table *t, u32 columns, u64 right)
{
	*t = (struct out_table){.columns = columns, .right = right};
}

void out_cell(struct out_table *t, const char *fmt, ...)
{
	va_list ap;
	char *text = NULL;

	if (t->n == t->room) {
		size_t room = t->room ? t->room * 2 : 64;
		char **cells = realloc(t->cells, room * sizeof(*cells));

		if (!cells)
			abort();
		t->cells = cells;
		t->room = room;
	}
	va_start(ap, fmt);
	if (vasprintf(&text, fmt, ap) < 0)
		abort();
	va_end(ap);
	t->cells[t->n++] = text;
}

static void print_row(const struct out_table *t, char *const *row, const int *width)
{
	for (u32 c = 0; c < t->columns; c++) {
		bool last = c + 1 == t->columns, right = t->right >> c & 1;

		if (right)
			printf("%*s%s", width[c], row[c], last ? "\n" : "  ");
		else
			printf("%-*s%s", last ? 0 : width[c], row[c], last ? "\n" : "  ");
	}
}

void out_table_print(struct out_table *t)
{
	int width[OUT_COLUMNS_MAX] = {0};

	for (size_t i = 0; i < t->n; i++)
		width[i % t->columns] = MAX(width[i % t->columns], (int)strlen(t->cells[i]));
	for (size_t i = 0; i + t->columns <= t->n; i += t->columns)
		print_row(t, t->cells + i, width);
	for (size_t i = 0; i < t->n; i++)
		free(t->cells[i]);
	free(t->cells);
	*t = (struct out_table){0};
}
