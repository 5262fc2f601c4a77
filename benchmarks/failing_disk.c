/* A disk that fails: of all that changes files under a folder, the nth fails with an error, once or from then on.
   Loaded in front of libc (LD_PRELOAD); benchmarks/failing_disk.py builds, steers and judges. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

static char folder[PATH_MAX];
static long nth, seen;
static int error, stays;
static FILE *told;

/* Begin to count what changes files under `under`; `log` is told each, with what it was. */
void failing_disk(const char *under, long which, int code, int from_then_on, const char *log) {
    snprintf(folder, sizeof folder, "%s", under);
    nth = which, error = code, stays = from_then_on, seen = 0;
    told = log ? fopen(log, "w") : NULL;
}

static int fails(const char *what, const char *path) {
    if (!folder[0] || strncmp(path, folder, strlen(folder))) return 0;
    seen++;
    int now = seen == nth || (stays && seen > nth);
    if (told) fprintf(told, "%ld %s %s%s\n", seen, what, path + strlen(folder), now ? " FAILS" : ""), fflush(told);
    if (now) errno = error;
    return now;
}

static int fails_at(const char *what, int file) {
    char link[64], path[PATH_MAX];
    if (!folder[0]) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0) return 0;
    path[length] = 0;
    return fails(what, path);
}

#define REAL(name) ((__typeof__(name) *)dlsym(RTLD_NEXT, #name))
#define ON_FILE(result, name, given, passed) \
    result name given { return fails_at(#name, file) ? -1 : REAL(name) passed; }
#define ON_PATH(name, given, passed) \
    int name given { return fails(#name, path) ? -1 : REAL(name) passed; }

ON_FILE(ssize_t, write, (int file, const void *data, size_t n), (file, data, n))
ON_FILE(ssize_t, pwrite, (int file, const void *data, size_t n, off_t at), (file, data, n, at))
ON_FILE(ssize_t, pwrite64, (int file, const void *data, size_t n, off64_t at), (file, data, n, at))
ON_FILE(int, fsync, (int file), (file))
ON_FILE(int, fdatasync, (int file), (file))
ON_FILE(int, ftruncate, (int file, off_t n), (file, n))
ON_FILE(int, ftruncate64, (int file, off64_t n), (file, n))
ON_PATH(mkdir, (const char *path, mode_t mode), (path, mode))
ON_PATH(rename, (const char *other, const char *path), (other, path))
ON_PATH(link, (const char *other, const char *path), (other, path))
ON_PATH(unlink, (const char *path), (path))
ON_PATH(rmdir, (const char *path), (path))
ON_PATH(chmod, (const char *path, mode_t mode), (path, mode))

#define OPENS(name)                                                                    \
    int name(const char *path, int flags, ...) {                                       \
        va_list more;                                                                  \
        va_start(more, flags);                                                         \
        mode_t mode = flags & O_CREAT ? va_arg(more, mode_t) : 0;                      \
        va_end(more);                                                                  \
        return flags & O_CREAT && fails(#name, path) ? -1 : REAL(name)(path, flags, mode); \
    }
OPENS(open)
OPENS(open64)
