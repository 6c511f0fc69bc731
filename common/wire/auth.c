#include "wire/auth.h"

#include "base/memory.h"

#include <czmq.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static zactor_t *authenticator;
static char *folder;
static int users;

enum { SOCKETS_MAX = 8192 }; /* of a process: three for each connection to each replica */

static void prepare(void)
{
    zsys_handler_set(NULL);
    zsys_set_max_sockets(SOCKETS_MAX);
    zsys_init();
    zsys_set_logstream(stderr);
}

void auth_prepare_czmq(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, prepare);
}

static status_t start(const char *allowed_folder)
{
    authenticator = zactor_new(zauth, NULL);
    if (!authenticator)
        return fail(STATUS_UNAVAILABLE, "the ZeroMQ authenticator does not start");
    zstr_sendx(authenticator, "CURVE", allowed_folder, NULL);
    zsock_wait(authenticator);
    folder = memory_copy_text(allowed_folder);
    return STATUS_OK;
}

status_t auth_open(const char *allowed_folder)
{
    status_t status = STATUS_OK;
    pthread_mutex_lock(&lock);
    if (!users)
        status = start(allowed_folder);
    else if (strcmp(folder, allowed_folder) != 0)
        status = fail(STATUS_INVALID, "this process authenticates by %s already", folder);
    if (status == STATUS_OK)
        users++;
    pthread_mutex_unlock(&lock);
    return status;
}

void auth_close(void)
{
    pthread_mutex_lock(&lock);
    if (--users == 0) {
        zactor_destroy(&authenticator);
        free(folder);
        folder = NULL;
    }
    pthread_mutex_unlock(&lock);
}
