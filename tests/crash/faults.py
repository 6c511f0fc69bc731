"""The page of memory that faults.c reads: which call of a service fails, and what its clock says."""
import errno
import mmap
import struct

import preload

ALLOCATE, WRITE, SYNC = 1, 2, 3
ERRORS = {ALLOCATE: errno.ENOMEM, WRITE: errno.ENOSPC, SYNC: errno.EIO}
FIELDS = struct.Struct("<IIIIQQQqQ")


class Faults:
    """Of one service, which has them when it is started again: one_each()."""

    def __init__(self, stack, service):
        path = preload.writable(stack, f"{service}.page")
        path.write_bytes(bytes(4096))
        with open(path, "r+b") as file:
            self.page = mmap.mmap(file.fileno(), 4096)
        preload.prepare(stack, [service], {"LD_PRELOAD": preload.place(stack, "faults"), "FAULTS": path})

    def _read(self):
        return FIELDS.unpack_from(self.page)

    def arm(self, kind, depth, number, size=0):
        """Counts from now on; number 0 counts only. size: of allocations that count, 0 for all."""
        offset = self._read()[7]
        FIELDS.pack_into(self.page, 0, 0, kind, depth, ERRORS[kind], number, 0, 0, offset, size)
        struct.pack_into("<I", self.page, 0, 1)

    def disarm(self):
        """Returns how many calls there were, and whether one failed."""
        struct.pack_into("<I", self.page, 0, 0)
        fields = self._read()
        return fields[5], fields[6] > 0

    def jump(self, seconds):
        """The clock of the calendar is this far from the true one from now on."""
        struct.pack_into("<q", self.page, FIELDS.size - 16, seconds * 1_000_000_000)


def one_each(stack, services):
    """{service: its Faults}; they are started again."""
    found = {service: Faults(stack, service) for service in services}
    preload.start(stack)
    return found
