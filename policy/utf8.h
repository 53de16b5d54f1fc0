/* UTF-8, strictly: no overlong forms, no surrogates, nothing past U+10FFFF. */
#ifndef POLICY_UTF8_H
#define POLICY_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Decodes the character at bytes[0]; returns its length in bytes, 0 when it is none or cut short. */
size_t utf8_next(const uint8_t *bytes, size_t left, uint32_t *code);

/* Whether a character shows itself and only itself: no control, line break, direction mark or invisible one. */
bool utf8_is_plain(uint32_t code);

#endif
