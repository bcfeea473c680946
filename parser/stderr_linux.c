// libpg_query 5 redirects the process's standard error into a pipe for the
// time of each parse and scan: dup2(pipe, 2), then dup2(saved, 2). In a process
// with threads that loses what others log meanwhile, two parses at one time
// can leave the pipe in place for good, and a text with enough warnings fills
// the pipe, which nobody reads, and stops the thread for ever.
//
// This definition takes the place of the C library's for C code in the
// program. It leaves standard error alone and does everything else as before.
// Go code does not use it: its runtime makes system calls itself.

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

int dup2(int from, int to)
{
	if (to == STDERR_FILENO)
		return to;
	if (from == to)
		return fcntl(from, F_GETFD) < 0 ? -1 : to; // dup3 refuses this
	return (int) syscall(SYS_dup3, from, to, 0);
}
