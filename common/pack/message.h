#ifndef ZPACS_PACK_MESSAGE_H
#define ZPACS_PACK_MESSAGE_H

#include "pack.pb-c.h"

/*
 * The memory of every message of pack.proto that is read from a pack; for `pack__…__unpack()` and
 * its `free_unpacked()`. Without memory the program ends, as everywhere: protobuf-c's own allocator
 * would make of it a message that is not readable, and its record would be passed over for good.
 */
extern ProtobufCAllocator pack_memory;

#endif
