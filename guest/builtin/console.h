/* The console: virtio port 0, or a UART's data port where there is no such device. */
#ifndef GUEST_CONSOLE_H
#define GUEST_CONSOLE_H

#include <stdarg.h>

#include "virtio.h"

/* Opens the console for the first line, as fast as possible and without input; NULL if that went well. Until then,
 * and without a device, the UART is the console. */
const char *console_open_briefly(struct virtio *device);
/* Opens it again, in full; what is still on its way is waited for, or may be lost. */
const char *console_reopen(bool wait);
/* Sends bytes; does not wait unless all buffers are on their way. */
void console_write(const char *text, size_t size);
/* Waits until everything sent has been taken. */
void console_drain(void);
/* Waits for input, without end; the number of bytes put into `buffer`, 0 if there is no console device. */
size_t console_read(char *buffer, size_t size);
/* The console's device; NULL if there is none. */
struct virtio *console_device(void);

/* A printf of %s %c %u %x %lu %lx %% and a field width with optional leading zero. say() prints always, note() not
 * when the command line has `quiet`. */
__attribute__((format(printf, 1, 2))) void say(const char *format, ...);
__attribute__((format(printf, 1, 2))) void note(const char *format, ...);
void vsay(const char *format, va_list arguments);
__attribute__((format(printf, 3, 4))) void format_line(char *buffer, size_t size, const char *format, ...);
void format_text(char *buffer, size_t size, const char *format, va_list arguments);
void print_set_quiet(bool quiet);

#endif
