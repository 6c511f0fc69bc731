#include "pack/message.h"

#include "base/memory.h"

#include <stdlib.h>

static void *allocate(void *context, size_t size)
{
    (void)context;
    return memory_allocate(size);
}

static void release(void *context, void *block)
{
    (void)context;
    free(block);
}

ProtobufCAllocator pack_memory = {allocate, release, NULL};
