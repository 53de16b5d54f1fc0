/* The other end of what a guest's devices send.
 *
 *   peer udp PORT     answers short datagrams with themselves, and takes long ones; one that begins with "send" and a
 *                     byte is answered with so many long ones
 *   peer unix PATH    takes all that connections send, one connection at a time
 *   peer source PATH  sends them as much as they take
 *
 * Says `ready` on standard output, and works until its parent ends.
 */
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { SHORT = 256, LONG = 1472 /* a frame of 1514 */ };

static char bytes[1 << 18];

static _Noreturn void die(const char *what)
{
	perror(what);
	exit(1);
}

static void ready(void)
{
	puts("ready");
	fflush(stdout);
}

static size_t answers_to(ssize_t size)
{
	if (size <= 0 || size >= SHORT)
		return 0;
	return size > 4 && memcmp(bytes, "send", 4) == 0 ? (unsigned char)bytes[4] : 1;
}

static _Noreturn void serve_udp(const char *port)
{
	struct sockaddr_in own = {.sin_family = AF_INET, .sin_port = htons((in_port_t)atoi(port))}, caller;
	int udp = socket(AF_INET, SOCK_DGRAM, 0);

	if (udp < 0 || bind(udp, (struct sockaddr *)&own, sizeof(own)) != 0)
		die("UDP");
	ready();
	for (;;) {
		socklen_t length = sizeof(caller);
		ssize_t size = recvfrom(udp, bytes, sizeof(bytes), 0, (struct sockaddr *)&caller, &length);
		size_t count = answers_to(size), each = count > 1 ? LONG : (size_t)size;
		for (size_t i = 0; i < count; i++)
			if (sendto(udp, bytes, each, 0, (struct sockaddr *)&caller, length) < 0)
				break; /* the machine that asked has ended */
	}
}

static ssize_t take(int stream)
{
	return read(stream, bytes, sizeof(bytes));
}

static ssize_t give(int stream)
{
	return send(stream, bytes, sizeof(bytes), MSG_NOSIGNAL);
}

static _Noreturn void serve_unix(const char *path, ssize_t (*serve)(int stream))
{
	struct sockaddr_un own = {.sun_family = AF_UNIX};
	int listener = socket(AF_UNIX, SOCK_STREAM, 0);

	if (strlen(path) >= sizeof(own.sun_path))
		die("path");
	strcpy(own.sun_path, path);
	unlink(path); /* of the test before */
	if (listener < 0 || bind(listener, (struct sockaddr *)&own, sizeof(own)) != 0 || listen(listener, 1) != 0)
		die(path);
	ready();
	for (;;) {
		int stream = accept(listener, NULL, NULL);
		while (stream >= 0 && serve(stream) > 0)
			;
		close(stream);
	}
}

int main(int argc, char **argv)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (argc == 3 && strcmp(argv[1], "udp") == 0)
		serve_udp(argv[2]);
	if (argc == 3 && strcmp(argv[1], "unix") == 0)
		serve_unix(argv[2], take);
	if (argc == 3 && strcmp(argv[1], "source") == 0)
		serve_unix(argv[2], give);
	fputs("usage: peer udp PORT | peer unix PATH | peer source PATH\n", stderr);
	return 2;
}
