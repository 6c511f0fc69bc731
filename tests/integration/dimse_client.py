"""A DICOM sender for tests that shows what toolkits hide: raw PDUs, results of contexts, statuses.

It sends a dataset's bytes as they are, in fragments of any size. PS3.8 9.3, PS3.7 6.3.
"""
import socket
import struct
import time

IMPLICIT = "1.2.840.10008.1.2"
EXPLICIT = "1.2.840.10008.1.2.1"
VERIFICATION = "1.2.840.10008.1.1"
SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
STUDY_ROOT_FIND = "1.2.840.10008.5.1.4.1.2.2.1"
NO_DATASET = 0x0101


class Refused(Exception):
    """A-ASSOCIATE-RJ: (result, source, reason)."""


class Ended(Exception):
    """The connection was aborted or closed."""


def item(kind, body):
    return struct.pack(">BBH", kind, 0, len(body)) + body


def pdu(kind, body):
    return struct.pack(">BBI", kind, 0, len(body)) + body


def pdv(context, control, body):
    return struct.pack(">IBB", len(body) + 2, context, control) + body


def element(tag, value):
    """One element in implicit VR little endian, padded with NUL."""
    value += b"\0" * (len(value) % 2)
    return struct.pack("<HHI", tag >> 16, tag & 0xFFFF, len(value)) + value


def number(tag, value):
    return element(tag, struct.pack("<H", value))


def command_set(*elements):
    body = b"".join(elements)
    return struct.pack("<HHII", 0, 0, 4, len(body)) + body


def parse_command(data):
    """{element number: value bytes} of a command set."""
    found, at = {}, 0
    while at < len(data):
        _, element_number, length = struct.unpack_from("<HHI", data, at)
        found[element_number] = data[at + 8:at + 8 + length]
        at += 8 + length
    return found


def dataset(sop_class, sop_instance, study="1.2.3.100", series="1.2.3.200", extra=b"", pixels=b""):
    """A small instance in implicit VR little endian."""
    parts = [element(0x00080016, sop_class.encode()), element(0x00080018, sop_instance.encode()),
             element(0x00100010, b"Test^Patient"), element(0x00100020, b"ID1"),
             element(0x0020000D, study.encode()), element(0x0020000E, series.encode()), extra]
    if pixels:
        parts.append(struct.pack("<HHI", 0x7FE0, 0x0010, len(pixels)) + pixels)
    return b"".join(parts)


class Answer:
    def __init__(self, fields):
        self.fields = fields
        self.status = struct.unpack("<H", fields[0x0900])[0]
        self.message_id = struct.unpack("<H", fields[0x0120])[0]
        self.comment = fields.get(0x0902, b"").decode("ascii").strip()
        self.offending = fields.get(0x0901)


class Association:
    """contexts: [(abstract syntax, [transfer syntax, ...]), ...]; identifiers are 1, 3, 5 ..."""

    def __init__(self, port, contexts, calling="TESTER", called="ZPACS", max_pdu=65536, before=b"",
                 timeout=20, application="1.2.840.10008.3.1.1.1", source=None):
        self.contexts = contexts
        self.results, self.accepted, self.buffer, self.message_id = {}, {}, b"", 0
        self.socket = socket.create_connection(("127.0.0.1", port), timeout, source and (source, 0))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if before:
            self.socket.sendall(before)
        body = struct.pack(">HH", 1, 0) + called.ljust(16).encode("latin-1") + calling.ljust(16).encode("latin-1")
        body += b"\0" * 32 + item(0x10, application.encode())
        for index, (abstract, syntaxes) in enumerate(contexts):
            body += item(0x20, bytes([2 * index + 1, 0, 0, 0]) + item(0x30, abstract.encode()) +
                         b"".join(item(0x40, s.encode()) for s in syntaxes))
        body += item(0x50, item(0x51, struct.pack(">I", max_pdu)) + item(0x52, b"1.2.3.4"))
        try:
            self.socket.sendall(pdu(1, body))
        except OSError:
            pass  # refused before it was read: the answer is there
        kind, answer = self.read_pdu()
        if kind == 3:
            raise Refused(tuple(answer[1:4]))
        if kind != 2:
            raise Ended("PDU %d" % kind)
        self.peer_max = 16384
        self._read_accept(answer[68:])

    def _read_accept(self, items):
        at = 0
        while at < len(items):
            kind, _, length = struct.unpack_from(">BBH", items, at)
            value = items[at + 4:at + 4 + length]
            at += 4 + length
            if kind == 0x21:
                self.results[value[0]] = value[2]
                if value[2] == 0:
                    self.accepted[value[0]] = value[8:].rstrip(b"\0").decode()
            elif kind == 0x50:
                self.user_information = value
                self.peer_max = struct.unpack(">I", value[4:8])[0]

    def _receive(self, size):
        while len(self.buffer) < size:
            try:
                more = self.socket.recv(65536)
            except ConnectionError as error:
                raise Ended(str(error)) from error
            if not more:
                raise Ended("closed")
            self.buffer += more
        taken, self.buffer = self.buffer[:size], self.buffer[size:]
        return taken

    def read_pdu(self):
        kind, _, length = struct.unpack(">BBI", self._receive(6))
        return kind, self._receive(length)

    def send_command(self, context, *elements):
        self.socket.sendall(pdu(4, pdv(context, 3, command_set(*elements))))

    def send_dataset(self, context, data, fragment=32768, last=True):
        for at in range(0, max(len(data), 1), fragment):
            end = last and at + fragment >= len(data)
            self.socket.sendall(pdu(4, pdv(context, 2 if end else 0, data[at:at + fragment])))

    def read_answer(self):
        """The next command set, and the sizes of the PDUs it came in (self.pdu_sizes)."""
        data, self.pdu_sizes = b"", []
        while True:
            kind, body = self.read_pdu()
            if kind == 7:
                raise Ended("A-ABORT")
            assert kind == 4, kind
            self.pdu_sizes.append(len(body))
            length, _, control = struct.unpack_from(">IBB", body)
            assert length + 4 == len(body) and control & 1
            data += body[6:]
            if control & 2:
                return Answer(parse_command(data))

    def next_id(self):
        self.message_id += 1
        return self.message_id

    def echo(self, context=1):
        message = self.next_id()
        self.send_command(context, element(0x0002, VERIFICATION.encode()), number(0x0100, 0x30),
                          number(0x0110, message), number(0x0800, NO_DATASET))
        answer = self.read_answer()
        assert answer.message_id == message
        return answer.status

    def begin_store(self, sop_class, sop_instance, context=1, dataset_type=0, field=1):
        self.send_command(context, element(0x0002, sop_class.encode()), number(0x0100, field),
                          number(0x0110, self.next_id()), number(0x0700, 0),
                          number(0x0800, dataset_type), element(0x1000, sop_instance.encode()))

    def store(self, sop_class, sop_instance, data, context=1, fragment=32768):
        self.begin_store(sop_class, sop_instance, context)
        self.send_dataset(context, data, fragment)
        return self.read_answer()

    def release(self):
        self.socket.sendall(pdu(5, b"\0" * 4))
        kind, _ = self.read_pdu()
        self.close()
        return kind == 6

    def abort(self):
        self.socket.sendall(pdu(7, b"\0" * 4))
        self.close()

    def is_closed(self, within_s):
        """Whether the server ends the connection in time."""
        self.socket.settimeout(within_s)
        try:
            while self.socket.recv(65536):
                pass
            return True
        except ConnectionError:
            return True
        except TimeoutError:
            return False

    def close(self):
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def wait_for(condition, seconds=10):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.05)
    return False
