/* Escape filter: what a guest prints may colour and move the cursor; it may not make the operator's terminal act.
 *
 * Trusts nothing of its input. What comes out is made of whole units only: printable UTF-8, a few control
 * characters, and complete CSI sequences from a short list. Everything that titles, reports, answers, reprograms,
 * reads the clipboard, switches modes or repeats without bounds is dropped. A byte that is not UTF-8 becomes U+FFFD.
 * The state is bounded and needs no allocation.
 */
#ifndef DEVICES_ESCAPE_FILTER_H
#define DEVICES_ESCAPE_FILTER_H

#include <stddef.h>
#include <stdint.h>

enum {
	ESCAPE_SEQUENCE_MAX = 48, /* bytes; a longer sequence is dropped */
	ESCAPE_STRING_MAX = 1024, /* bytes after which a string that does not end is no longer taken for one */
	ESCAPE_DIGITS_MAX = 4,    /* of a parameter */
};

/* Room needed for what `size` bytes may become: three for each, and what was held back before. */
#define ESCAPE_FILTER_ROOM(size) (3 * (size) + 64)
_Static_assert(ESCAPE_FILTER_ROOM(0) >= ESCAPE_SEQUENCE_MAX, "the held-back bytes fit");

/* Zeroed is the initial state. */
struct escape_filter {
	uint8_t state;
	uint8_t held_size;                 /* bytes of `held` */
	uint16_t string_size;              /* bytes dropped of a string */
	uint8_t held[ESCAPE_SEQUENCE_MAX]; /* an unfinished character or sequence */
};

/* Answers how many bytes of `to` were written. */
size_t escape_filter(struct escape_filter *filter, const uint8_t *from, size_t size, uint8_t *to);

#endif
