/* Sealing a memory file whose bytes are final.
 *
 * The kernel refuses F_SEAL_WRITE while anything else holds one of the file's pages: it waits for that, 0.15 s in all,
 * and then says EBUSY. What holds a page that nobody else knows of is the kernel itself, which moves it to another
 * place (compaction), and is done with it soon.
 */
#include "jail/launch.h"

#include <errno.h>
#include <fcntl.h>

enum { SEAL_TRIES = 20 }; /* 3 s */

int jail_seal(int memfd, int seals)
{
	int result = -1;
	errno = EBUSY;
	for (int i = 0; i < SEAL_TRIES && result != 0 && errno == EBUSY; i++)
		result = fcntl(memfd, F_ADD_SEALS, seals | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL);
	return result;
}
