"""The disk after a power loss, made from a journal (journal.c) and the folder as it was before it.

What was synced is there. Of what was not, each page of a file may have reached the disk or not, in any order;
a name (made, moved, removed) lasts once the folder of the new name is synced, and may last before. The
ways of a loss:

    nothing   nothing that was not synced is there
    pages     each unsynced page is there or not by chance; names by chance, in order within a folder
    names     all names are there, no unsynced bytes: the order that file systems are known for
    bytes     all bytes are there, no unsynced name
"""
import struct
from dataclasses import dataclass, field

HEADER = struct.Struct("<IIQQQQQIIQ")
MAGIC = 0x4C4E524A
WRITE, CUT, SYNC, CREATE, MAKE_FOLDER, RENAME, REMOVE = range(1, 8)
PAGE = 4096
WAYS = ("nothing", "pages", "names", "bytes")


@dataclass
class Entry:
    kind: int
    at: int
    inode: int
    folder: int
    to_folder: int
    offset: int
    name: str
    to_name: str
    data: bytes


def read_journal(path):
    """Entries in the order of their times; one that was cut off by a kill ends it."""
    raw, at, entries = memoryview(path.read_bytes()), 0, []
    while at + HEADER.size <= len(raw):
        magic, kind, when, inode, folder, to_folder, offset, short, to_short, length = HEADER.unpack_from(raw, at)
        assert magic == MAGIC
        at += HEADER.size
        name, to_name = bytes(raw[at:at + short]).decode(), bytes(raw[at + short:at + short + to_short]).decode()
        at += short + to_short
        data = b""
        if kind == WRITE:
            data = bytes(raw[at:at + length])
            at += length
        entries.append(Entry(kind, when, inode, folder, to_folder, offset, name, to_name, data))
    return sorted(entries, key=lambda entry: entry.at)


class File:
    def __init__(self, data=b""):
        self.durable, self.pending = bytearray(data), []  # (offset, bytes), or (size, None): a cut

    def sync(self):
        self.durable, self.pending = self.after(lambda: True, True), []

    def after(self, keeps, cuts):
        """Its bytes when each pending page is kept or not; behind a cut that is not, nothing is."""
        data = bytearray(self.durable)
        for offset, new in self.pending:
            if new is None:
                if not cuts:
                    return data
                put(data, offset, b"")
                del data[offset:]
                continue
            at = 0
            while at < len(new):
                end = at + PAGE - (offset + at) % PAGE
                if keeps():
                    put(data, offset + at, new[at:end])
                at = end
        return data


def put(data, offset, part):
    """As in a file: a gap reads as zeros."""
    if len(data) < offset:
        data.extend(bytes(offset - len(data)))
    data[offset:offset + len(part)] = part


@dataclass(eq=False)
class Move:
    """One change of names: done in its folder, and with it the removal in the other one."""
    name: str
    node: object  # None: removed
    source: object = None
    source_name: str = ""


@dataclass(eq=False)
class Folder:
    entries: dict = field(default_factory=dict)  # as programs see it
    durable: dict = field(default_factory=dict)
    pending: list = field(default_factory=list)

    def change(self, move):
        self.pending.append(move)
        apply(self.entries, move, lambda folder: folder.entries)

    def sync(self):
        for move in self.pending:
            apply(self.durable, move, lambda folder: folder.durable)
            if move.source not in (None, self):  # what is pending there of that name has come true elsewhere
                move.source.pending = [other for other in move.source.pending if other.node is not move.node]
        self.pending = []


def apply(entries, move, entries_of):
    if move.source is not None:
        source = entries_of(move.source)
        if source.get(move.source_name) is move.node:
            del source[move.source_name]
    if move.node is None:
        entries.pop(move.name, None)
    else:
        entries[move.name] = move.node


class Disk:
    """Follows a journal; knows at each instant what is on the disk for certain and what is not."""

    def __init__(self, folder, leave_out=()):
        self.nodes = {}
        self.root = self._load(folder, set(leave_out))

    def _load(self, path, leave_out):
        node = Folder()
        self.nodes[path.stat().st_ino] = node
        for child in path.iterdir():
            if child.name in leave_out:
                continue
            if child.is_dir():
                node.entries[child.name] = self._load(child, set())
            elif child.is_file():
                node.entries[child.name] = self.nodes[child.stat().st_ino] = File(child.read_bytes())
        node.durable = dict(node.entries)
        return node

    def follow(self, entry):
        if entry.kind in (WRITE, CUT, SYNC):
            self._bytes(entry)
        else:
            self._names(entry)

    def _bytes(self, entry):
        node = self.nodes.get(entry.inode)
        if node is None:
            return  # a file elsewhere
        if entry.kind == SYNC:
            node.sync()
        elif isinstance(node, File):
            node.pending.append((entry.offset, entry.data if entry.kind == WRITE else None))

    def _names(self, entry):
        folder = self.nodes.get(entry.folder)
        if not isinstance(folder, Folder):
            return
        if entry.kind == RENAME:
            target = self.nodes[entry.to_folder]
            target.change(Move(entry.to_name, folder.entries[entry.name], folder, entry.name))
        elif entry.kind == REMOVE:
            folder.change(Move(entry.name, None))
        elif self.nodes.get(entry.inode) is not folder.entries.get(entry.name) or entry.name not in folder.entries:
            node = self.nodes[entry.inode] = Folder() if entry.kind == MAKE_FOLDER else File()
            folder.change(Move(entry.name, node))

    def write(self, folder, way, chance):
        """Makes the folder as it is found after the loss."""
        names = self._names_after(way, chance)
        keeps = {"pages": lambda: chance.random() < 0.5, "bytes": lambda: True}.get(way, lambda: False)
        self._write(self.root, names, folder, keeps, way, chance)

    def _names_after(self, way, chance):
        """{id of folder: entries}"""
        folders, seen = [self.root], {}
        while folders:
            one = folders.pop()
            if id(one) in seen:
                continue
            seen[id(one)] = one
            nodes = [*one.entries.values(), *one.durable.values()]
            folders += [node for node in nodes if isinstance(node, Folder)]
        after = {key: dict(one.durable) for key, one in seen.items()}
        for key, one in seen.items():
            count = {"names": len(one.pending), "pages": chance.randrange(len(one.pending) + 1)}.get(way, 0)
            for move in one.pending[:count]:
                apply(after[key], move, lambda source: after[id(source)])
        return after

    def _write(self, node, names, path, keeps, way, chance):
        path.mkdir(exist_ok=True)
        for name, child in names[id(node)].items():
            if isinstance(child, Folder):
                self._write(child, names, path / name, keeps, way, chance)
            else:
                cuts = way == "bytes" or (way == "pages" and chance.random() < 0.5)
                (path / name).write_bytes(child.after(keeps, cuts))

    def paths(self):
        """{relative path: bytes} as the programs see it."""
        found = {}

        def walk(node, at):
            for name, child in node.entries.items():
                if isinstance(child, Folder):
                    walk(child, at + name + "/")
                else:
                    found[at + name] = bytes(child.after(lambda: True, True))

        walk(self.root, "")
        return found
