#ifndef FERRY_CCHILDPROCESS_H
#define FERRY_CCHILDPROCESS_H

/* What starting a child process needs and Swift does not see: calls behind feature macros, and flags as numbers. */

/* A file in memory, closed on exec; a descriptor, or -1 with errno. */
int ferry_memory_file(void);

/* Two connected sockets, closed on exec; the first does not block. 0, or -1 with errno. */
int ferry_stream_pair(int ends[2]);

/*
 * Starts a program found on PATH with `stream` as its input and output and `errors` as its error stream, in a process
 * group of its own and with no signal blocked or ignored. 0 or an errno.
 */
int ferry_spawn(int *pid, const char *program, char *const *arguments, char *const *environment, int stream,
                int errors);

/* Sends without a signal where nobody reads any more; as send(2). */
long ferry_send(int descriptor, const void *bytes, unsigned long count);

#endif
