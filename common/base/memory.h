#ifndef ZPACS_BASE_MEMORY_H
#define ZPACS_BASE_MEMORY_H

#include <stddef.h>

/*
 * Allocation that cannot fail: out of memory aborts, so every size that a peer controls meets a
 * named limit first. The caller frees with free().
 */
void *memory_allocate(size_t size) __attribute__((malloc, returns_nonnull)); /* zeroed */
void *memory_resize(void *block, size_t size) __attribute__((returns_nonnull));
void *memory_copy(const void *bytes, size_t size) __attribute__((malloc, returns_nonnull));
char *memory_copy_text(const char *text) __attribute__((malloc, returns_nonnull));
char *memory_copy_text_n(const char *text, size_t length) __attribute__((malloc, returns_nonnull));
char *memory_format(const char *format, ...)
    __attribute__((malloc, returns_nonnull, format(printf, 1, 2)));

void memory_free_cleanup(void *pointer_to_block);
void memory_close_cleanup(int *fd);

/* Locals released at the end of their scope: AUTO_FREE char *path = memory_format(...); */
#define AUTO_FREE  __attribute__((cleanup(memory_free_cleanup)))
#define AUTO_CLOSE __attribute__((cleanup(memory_close_cleanup)))

/* Gives the descriptor of an AUTO_CLOSE local away: *out_fd = memory_take_fd(&fd). */
int memory_take_fd(int *fd);

#endif
