#include "base/memory.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void *or_abort(void *block)
{
    if (!block) {
        static const char message[] = "out of memory\n";
        if (write(STDERR_FILENO, message, sizeof message - 1) < 0)
            abort();
        abort();
    }
    return block;
}

void *memory_allocate(size_t size)
{
    return or_abort(calloc(1, size ? size : 1));
}

void *memory_resize(void *block, size_t size)
{
    return or_abort(realloc(block, size ? size : 1));
}

void *memory_copy(const void *bytes, size_t size)
{
    void *copy = memory_allocate(size);
    if (size)
        memcpy(copy, bytes, size);
    return copy;
}

char *memory_copy_text(const char *text)
{
    return memory_copy_text_n(text, strlen(text));
}

char *memory_copy_text_n(const char *text, size_t length)
{
    char *copy = memory_allocate(length + 1);
    memcpy(copy, text, length);
    return copy;
}

char *memory_format(const char *format, ...)
{
    char *text = NULL;
    va_list arguments;
    va_start(arguments, format);
    int length = vasprintf(&text, format, arguments);
    va_end(arguments);
    return or_abort(length < 0 ? NULL : text);
}

void memory_free_cleanup(void *pointer_to_block)
{
    free(*(void **)pointer_to_block);
}

int memory_take_fd(int *fd)
{
    int taken = *fd;
    *fd = -1;
    return taken;
}

void memory_close_cleanup(int *fd)
{
    if (*fd >= 0)
        close(*fd);
}
