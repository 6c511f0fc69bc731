"""The HTTP door under requests that no client library would send: every byte here goes out as it stands.

What is refused, with which status, and that nothing was stored or deleted by it.
"""
import errno
import re
import socket
import subprocess
import threading
import uuid

import pytest
from stack import Stack, wait_until
from instances import instance, part10

CLOSE = "Connection: close\r\n"
STUDIES = "/dicom-web/studies"
WRONG = "0" * 64
WEBSOCKET = ("Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
             "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n")


# ---- raw requests -------------------------------------------------------------------------------------

def exchange(port, request, is_last=False):
    """All that comes back until the other side closes. is_last: we say that nothing more will come."""
    answer = b""
    with socket.create_connection(("127.0.0.1", port), 20) as connection:
        try:
            connection.sendall(request if isinstance(request, bytes) else request.encode("latin-1"))
            if is_last:
                connection.shutdown(socket.SHUT_WR)
            while more := connection.recv(65536):
                answer += more
        except OSError as error:  # the other side has gone at some point of it
            assert error.errno in (errno.ECONNRESET, errno.EPIPE, errno.ENOTCONN), error
    return answer


def statuses(answer):
    """Of every answer in the stream: a request hidden in another one would have one of its own."""
    return [int(code) for code in re.findall(rb"HTTP/1\.[01] (\d{3}) ", answer)]


class Door:
    """The stack with one study in it, and the lines that requests are made of."""

    def __init__(self, stack, study):
        self.stack, self.study = stack, study
        self.port, self.token = stack.port, stack.token
        self.gate = (stack.data / "run/gate").read_text().strip()
        self.own = f"127.0.0.1:{self.port}"
        self.host = f"Host: {self.own}\r\n"
        self.cookie_name = f"zpacs_{self.port}"
        self.bearer = f"Authorization: Bearer {self.token}\r\n"

    def fill(self, text):
        """{own}, {port}, {token} and so on of this stack; {study} is the address of its study."""
        for name, value in (("own", self.own), ("port", self.port), ("token", self.token), ("wrong", WRONG),
                            ("cookie", self.cookie_name), ("study", f"{STUDIES}/{self.study}"), ("gate", self.gate),
                            ("TOKEN", self.token.upper()), ("coded", f"%{ord(self.token[0]):02x}{self.token[1:]}")):
            text = text.replace("{%s}" % name, str(value))
        return text

    def ask(self, target, fields="", method="GET", host=None, token=True, body="", version="HTTP/1.1", port=None,
            is_last=False):
        request = (f"{method} {target} {version}\r\n" + (self.host if host is None else host) +
                   (self.bearer if token else "") + fields + CLOSE + "\r\n" + body)
        return exchange(port or self.port, self.fill(request), is_last)

    def status(self, *arguments, **options):
        answer = self.ask(*arguments, **options)
        codes = statuses(answer)
        assert len(codes) == 1, answer
        return codes[0]

    def holds(self):
        with self.stack.session() as session:
            answer = session.get(self.stack.web + "/studies", timeout=20)
        return [study["0020000D"]["Value"][0] for study in answer.json()] if answer.status_code == 200 else []


@pytest.fixture(scope="module")
def door():
    with Stack() as stack:
        study = f"2.25.{uuid.uuid4().int}"
        body = (b"--B\r\nContent-Type: application/dicom\r\n\r\n" + part10(instance(study=study.encode())) + b"\r\n--B--\r\n")
        with stack.session() as session:
            answer = session.post(stack.web + "/studies", data=body, timeout=30, headers={
                "Content-Type": 'multipart/related; type="application/dicom"; boundary=B'})
        assert answer.status_code == 200, answer.text
        one = Door(stack, study)
        wait_until(lambda: one.holds() == [study])
        yield one


@pytest.fixture(autouse=True)
def nothing_changes(door):
    """No request of this file stores or deletes."""
    yield
    assert door.holds() == [door.study]


# ---- Host ---------------------------------------------------------------------------------------------

@pytest.mark.parametrize("host, status", [
    ("Host: {own}\r\nHost: {own}\r\n", 400),
    ("Host: {own}\r\nHost: evil.example\r\n", 400),
    ("Host: evil.example\r\nHost: {own}\r\n", 400),
    ("Host: LOCALHOST:{port}\r\n", 200),
    ("Host:   {own}  \r\n", 200),
    ("Host: {own}.\r\n", 421),
    ("Host: 127.0.0.1.:{port}\r\n", 421),
    ("Host: localhost.:{port}\r\n", 421),
    ("Host: 127.0.0.1:0{port}\r\n", 421),
    ("Host: 127.0.0.1:\r\n", 421),
    ("Host: 127.1:{port}\r\n", 421),
    ("Host: 2130706433:{port}\r\n", 421),
    ("Host: [::ffff:127.0.0.1]:{port}\r\n", 421),
    ("Host: user@{own}\r\n", 421),
    ("Host: {own},evil.example\r\n", 421),
    ("Host: evil.example:{port}\r\n", 421),
    ("Host: {own}/x\r\n", 400),
    ("Host: {own}\t\r\n", 400),
    ("Host: {own}\0\r\n", 400),
    ("Host: \r\n", 400),
    ("", 400),
    ("Host : {own}\r\n", 400),
    ("Host: evil.example\r\nX-Forwarded-Host: {own}\r\n", 421),
    ("Host: evil.example\r\nForwarded: host={own}\r\n", 421),
])
def test_host(door, host, status):
    assert door.status(STUDIES, host=host) == status


@pytest.mark.parametrize("target, host, status", [
    ("http://{own}" + STUDIES, "Host: {own}\r\n", 200),
    ("http://localhost:{port}" + STUDIES, "Host: localhost:{port}\r\n", 200),
    ("http://evil.example" + STUDIES, "Host: {own}\r\n", 421),
    ("https://evil.example:{port}" + STUDIES, "Host: {own}\r\n", 421),
    ("http://localhost:{port}" + STUDIES, "Host: {own}\r\n", 421),
    ("http://{own}" + STUDIES, "Host: evil.example\r\n", 421),
    ("http://evil.example" + STUDIES, "Host: evil.example\r\n", 421),
    ("http://{own}@evil.example" + STUDIES, "Host: {own}\r\n", 400),
    ("http://evil.example/healthz", "Host: {own}\r\n", 421),
    ("http://evil.example/start?token={token}", "Host: {own}\r\n", 421),
])
def test_target_in_absolute_form_names_us_too(door, target, host, status):
    assert door.status(target, host=host) == status


def test_names_of_ZPACS_HOSTS():
    with Stack(ZPACS_HOSTS="pacs.example,Pacs.Local:8080") as stack:
        own = stack.port
        for host, target, status in (
                ("pacs.example", "", 200), ("PACS.example", "", 200), (f"pacs.example:{own}", "", 200),
                ("pacs.local:8080", "", 200), ("pacs.example", "http://pacs.example", 200),
                ("pacs.local:8080", "http://Pacs.Local:8080", 200),
                ("pacs.example:8080", "", 421), ("pacs.example.", "", 421), ("pacs.local", "", 421),
                (f"pacs.local:{own}", "", 421), ("a.pacs.example", "", 421), ("pacs.example", "http://pacs.local:8080", 421)):
            answer = exchange(own, f"GET {target}{STUDIES} HTTP/1.1\r\nHost: {host}\r\n"
                                   f"Authorization: Bearer {stack.token}\r\n{CLOSE}\r\n")
            assert [c if c != 204 else 200 for c in statuses(answer)] == [status], (host, target)


def test_old_http(door):
    assert door.status(STUDIES, version="HTTP/1.0") == 200
    assert door.status(STUDIES, version="HTTP/1.0", host="") == 421
    assert door.status("http://{own}" + STUDIES, version="HTTP/1.0", host="") == 421
    assert door.status("/healthz", version="HTTP/1.0", host="") == 421
    for target in (STUDIES, "/healthz", f"/start?token={door.token}"):
        answer = exchange(door.port, f"GET {target}\r\n")  # HTTP/0.9: an answer without head
        assert b'"status":421' in answer and b"Set-Cookie" not in answer


@pytest.mark.parametrize("version, status", [("HTTP/1.2", 200), ("HTTP/2.0", 505), ("HTTP/1.", 400), ("HTTP/01.1", 400),
                                             ("http/1.1", 400), ("XTTP/1.1", 400)])
def test_version(door, version, status):
    assert door.status(STUDIES, version=version) == status


# ---- Origin: every request here would delete -----------------------------------------------------------

@pytest.mark.parametrize("fields, status", [
    ("Origin: http://{own}\r\nOrigin: http://evil.example\r\n", 400),
    ("Origin: http://evil.example\r\nOrigin: http://{own}\r\n", 403),
    ("Origin: http://{own}\r\nOrigin: http://{own}\r\n", 400),
    ("Origin: null\r\n", 403),
    ("Origin: http://evil.example\r\n", 403),
    ("Origin: HTTP://{own}\r\n", 403),
    ("Origin: https://{own}\r\n", 403),
    ("Origin: http://{own}.\r\n", 403),
    ("Origin: http://127.0.0.1.:{port}\r\n", 403),
    ("Origin: http://127.0.0.1\r\n", 403),
    ("Origin: http://localhost:{port}\r\n", 403),
    ("Origin: http://{own}/\r\n", 403),
    ("Origin: http://{own}@evil.example\r\n", 403),
    ("Origin: http://{own}.evil.example\r\n", 403),
    ("Origin: http://{own} http://{own}\r\n", 403),
    ("Origin: http://evil.example http://{own}\r\n", 403),
    ("Origin: http://{own}\t\r\n", 403),
    ("Origin: http://{own}\0\r\n", 400),
    ("Origin: file://\r\n", 403),
    ("Sec-Fetch-Site: cross-site\r\n", 403),
    ("Sec-Fetch-Site: same-site\r\n", 403),
    ("Origin: http://{own}\r\nSec-Fetch-Site: cross-site\r\n", 403),
    ("Sec-Fetch-Site: same-origin\r\nSec-Fetch-Site: cross-site\r\n", 400),
])
def test_origin(door, fields, status):
    assert door.status("{study}", fields, method="DELETE") == status


@pytest.mark.parametrize("fields", ["Origin: http://{own}\r\n", "Origin:http://{own} \r\n",
                                    "Origin: http://{own}\r\nSec-Fetch-Site: same-origin\r\n",
                                    "", "Origin: \r\n"])  # a program
def test_own_origin_may(door, fields):
    assert door.status(STUDIES + "/2.25.1", fields, method="DELETE") == 404  # got through, and found nothing


@pytest.mark.parametrize("origin", ["null", "http://evil.example"])
def test_pages_of_others_may_ask_and_cannot_read(door, origin):
    answer = door.ask(STUDIES, f"Origin: {origin}\r\n")
    assert statuses(answer) == [200]
    assert b"access-control" not in answer.lower() and b"cross-origin-resource-policy: same-origin" in answer.lower()
    preflight = f"Origin: {origin}\r\nAccess-Control-Request-Method: DELETE\r\n"
    answer = door.ask("{study}", preflight, method="OPTIONS", token=False)
    assert statuses(answer) == [401] and b"access-control" not in answer.lower()


# ---- the token ------------------------------------------------------------------------------------------

@pytest.mark.parametrize("cookie, status", [
    ("Cookie: {cookie}={token}\r\n", 200),
    ("Cookie: a=b; {cookie}={token}; c=d\r\n", 200),
    ("Cookie: {cookie}= {token} \r\n", 200),
    ("Cookie: {cookie} ={token}\r\n", 200),
    ("Cookie: {cookie}={token}; {cookie}={wrong}\r\n", 200),  # the first one counts
    ("Cookie: {cookie}={wrong}; {cookie}={token}\r\n", 401),
    ("Cookie: {cookie}=; {cookie}={token}\r\n", 401),
    ("Cookie: {cookie}={token}\r\nCookie: {cookie}={wrong}\r\n", 200),
    ("Cookie: {cookie}={wrong}\r\nCookie: {cookie}={token}\r\n", 401),
    ('Cookie: {cookie}="{token}"\r\n', 401),
    ("Cookie: {cookie}='{token}'\r\n", 401),
    ("Cookie: {cookie}={token}0\r\n", 401),
    ("Cookie: {cookie}={coded}\r\n", 401),
    ("Cookie: {cookie}={token},a=b\r\n", 401),
    ("Cookie: x{cookie}={token}\r\n", 401),
    ("Cookie: a={cookie}={token}\r\n", 401),
    ("Cookie: \t{cookie}={token}\r\n", 401),
    ("Cookie: {cookie}\r\n", 401),
    ("Cookie: zpacs={token}\r\n", 401),
    ("Cookie2: {cookie}={token}\r\n", 401),
    ("Cookie: {cookie}={token}\0\r\n", 400),
])
def test_cookie(door, cookie, status):
    assert door.status(STUDIES, cookie, token=False) == status


@pytest.mark.parametrize("fields, status", [
    ("Authorization: bearer {token}\r\n", 200),  # RFC 9110 11.1: the scheme has no case
    ("Authorization: BEARER {token}\r\n", 200),
    ("Authorization:Bearer {token} \r\n", 200),
    ("authorization: Bearer {TOKEN}\r\n", 200),  # the same number
    ("Authorization: Bearer  {token}\r\n", 401),
    ("Authorization: Bearer\t{token}\r\n", 401),
    ("Authorization: Bearer{token}\r\n", 401),
    ("Authorization: Token {token}\r\n", 401),
    ("Authorization: Basic {token}\r\n", 401),
    ("Authorization: {token}\r\n", 401),
    ('Authorization: Bearer "{token}"\r\n', 401),
    ("Authorization: Bearer {token}0\r\n", 401),
    ("Authorization: Bearer {token},Bearer {wrong}\r\n", 401),
    ("Authorization: Bearer {token}\r\nAuthorization: Bearer {wrong}\r\n", 400),
    ("Authorization: Bearer {wrong}\r\nAuthorization: Bearer {token}\r\n", 400),
    ("Authorization: Bearer {token}\r\nAuthorization: Bearer {token}\r\n", 400),
    ("Authorization: Bearer\r\n {token}\r\n", 400),
    ("Authorization : Bearer {token}\r\n", 400),
    ("Proxy-Authorization: Bearer {token}\r\n", 401),
    ("X-Authorization: Bearer {token}\r\n", 401),
    ("Authorization: Bearer {wrong}\r\nCookie: {cookie}={token}\r\n", 200),  # either will do
    ("Authorization: Bearer {token}\r\nCookie: {cookie}={wrong}\r\n", 200),
])
def test_authorization(door, fields, status):
    assert door.status(STUDIES, fields, token=False) == status


@pytest.mark.parametrize("target", ["/", "/ohif", "/ohif/", "/ohif/app-config.js", STUDIES, "{study}", "/api/system", "/wado",
                                    "/nothing"])
@pytest.mark.parametrize("name", ["token", "access_token", "Authorization", "{cookie}"])
def test_token_in_an_address_opens_nothing(door, target, name):
    assert door.status(f"{target}?{name}={{token}}", token=False) == 401


@pytest.mark.parametrize("query, status", [
    ("token={token}", 303),
    ("token={token}&token={wrong}", 303),  # the first one counts
    ("token={wrong}&token={token}", 401),
    ("token={coded}", 401),
    ("token={token}%20", 401),
    ("token=%22{token}%22", 401),
    ("xtoken={token}", 401),
    ("token={token};x", 401),
    ("token={token}%0d%0aSet-Cookie:%20a=b", 401),
])
def test_start_link(door, query, status):
    answer = door.ask("/start?" + query, token=False)
    assert statuses(answer) == [status]
    assert (b"Set-Cookie: " in answer) == (status == 303) and answer.count(b"Set-Cookie") <= 1


def test_start_is_a_link_and_no_form(door):
    for method in ("POST", "PUT", "DELETE", "PATCH"):
        assert door.status("/start?token={token}", "Content-Length: 0\r\n", method=method, token=False) == 405
    body = f"token={door.token}"
    assert door.status("/start", f"Content-Length: {len(body)}\r\n", method="POST", token=False, body=body) == 405
    assert door.status("/healthz", "Content-Length: 0\r\n", method="POST", token=False) == 405


# ---- the gate -------------------------------------------------------------------------------------------

GATES = ["X-Zpacs-Gate: x\r\n", "X-Zpacs-Gate: x\r\nX-Zpacs-Gate: y\r\n", "x-zpacs-GATE: {wrong}\r\n", "X_Zpacs_Gate: x\r\n",
         "X-Zpacs-Gate: \r\n", "X-Zpacs-Gate: {gate}\r\n"]


@pytest.mark.parametrize("gate", GATES)
def test_gate_field_of_a_client_counts_for_nothing(door, gate):
    assert door.status(STUDIES, gate) == 200
    assert door.status(STUDIES, gate, token=False) == 401
    assert door.status("{study}", gate, token=False, method="DELETE") == 401


@pytest.mark.parametrize("offset", [1, 2], ids=["dicomweb", "stow"])
@pytest.mark.parametrize("fields, status", [
    ("", 401),
    ("X-Zpacs-Gate: \r\n", 401),
    ("X-Zpacs-Gate: {wrong}\r\n", 401),
    ("X-Zpacs-Gate: {gate}0\r\n", 401),
    ("X-Zpacs-Gate: 0{gate}\r\n", 401),
    ("X-Zpacs-Gate: {token}\r\n", 401),
    ("X_Zpacs_Gate: {gate}\r\n", 401),
    ("X-Zpacs-Gate: x\r\nX-Zpacs-Gate: {gate}\r\n", 400),
    ("X-Zpacs-Gate: {gate}\r\nX-Zpacs-Gate: x\r\n", 400),
    ("X-Zpacs-Gate: {gate}\0\r\n", 400),
    ("Cookie: {cookie}={token}\r\n", 401),
    (WEBSOCKET, 401),
    ("Origin: http://evil.example\r\nAccess-Control-Request-Method: DELETE\r\n", 401),
])
def test_gate_of_the_services_own_port(door, offset, fields, status):
    for method in ("GET", "HEAD", "POST", "OPTIONS", "DELETE", "CONNECT", "PROPFIND"):
        answer = door.ask("{study}", fields + "Content-Length: 0\r\n", method=method, port=door.port + offset)
        assert statuses(answer) == [status], (method, answer)
        assert b"access-control" not in answer.lower()


def test_guessing_the_gate_byte_by_byte_shows_nothing(door):
    """Each right beginning is refused with the same answer as a wrong one."""
    answers = set()
    for length in range(0, 64, 7):
        guess = door.gate[:length] + "".join("0" if c != "0" else "1" for c in door.gate[length:])
        answer = door.ask(STUDIES, f"X-Zpacs-Gate: {guess}\r\n", port=door.port + 1)
        answers.add(re.sub(rb"Date: [^\r]*", b"", answer))
    assert len(answers) == 1 and statuses(answers.pop()) == [401]


def capture(port, seen):
    """Listens in dicomweb's place: answers one request and keeps its head."""
    listener = socket.create_server(("127.0.0.1", port))

    def serve():
        with listener:
            connection, _ = listener.accept()
            with connection:
                while b"\r\n\r\n" not in b"".join(seen):
                    seen.append(connection.recv(65536))
                connection.sendall(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")
    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    return thread


CLAIMS = ["X-Zpacs-Gate: mine", "X-Zpacs-Identity: admin", "X-Zpacs-User: admin", "Remote-User: admin", "Remote-Groups: admin",
          "Remote-Name: admin", "Remote-Email: admin", "X-Remote-User: admin", "Forwarded: for=admin", "X-Forwarded-For: 6.6.6.6",
          "X-Forwarded-Host: admin", "X-Forwarded-Proto: admin", "X-Real-IP: 6.6.6.6", "X-Original-URL: /admin",
          "X-Rewrite-URL: /admin", "Proxy-Connection: keep-alive", "Upgrade: websocket", "TE: trailers", "Keep-Alive: 9"]


def test_what_a_service_is_told_comes_from_the_door(door, fresh_stack):
    """The head of a request as the service gets it, with every field that could claim something."""
    subprocess.run(["supervisorctl", "-c", str(fresh_stack.data / "run/supervisord.conf"), "stop", "dicomweb"],
                   check=True, capture_output=True, timeout=60)
    gate, seen = (fresh_stack.data / "run/gate").read_text().strip(), []
    thread = capture(fresh_stack.port + 1, seen)
    lines = [*CLAIMS, *(claim.lower() for claim in CLAIMS if claim[0] in "XR"), f"Authorization: Bearer {fresh_stack.token}",
             f"Cookie: zpacs_{fresh_stack.port}={fresh_stack.token}", f"Host: localhost:{fresh_stack.port}", "Connection: close"]
    answer = exchange(fresh_stack.port, "\r\n".join([f"GET {STUDIES}?limit=1 HTTP/1.1", *lines]) + "\r\n\r\n")
    thread.join(20)
    assert statuses(answer) == [204], answer
    first, *fields = b"".join(seen).decode().split("\r\n\r\n")[0].split("\r\n")
    assert first == f"GET {STUDIES}?limit=1 HTTP/1.1"
    assert sorted(field.lower() for field in fields) == sorted([
        f"host: localhost:{fresh_stack.port}", f"x-zpacs-gate: {gate}", "x-forwarded-for: 127.0.0.1",
        f"x-forwarded-host: localhost:{fresh_stack.port}", "x-forwarded-proto: http", "proxy-connection: keep-alive"])


# ---- paths: (with the token, without) ---------------------------------------------------------------------

@pytest.mark.parametrize("target, status, status_without", [
    ("/ohif/../dicom-web/studies", 400, 401),
    ("/ohif/%2e%2e/dicom-web/studies", 400, 401),
    ("/ohif/%2E./dicom-web/studies", 400, 401),
    ("/ohif/..%2fdicom-web/studies", 400, 401),
    ("/healthz/../dicom-web/studies", 400, 401),
    ("/healthz%2f..%2fdicom-web/studies", 400, 401),
    ("/start/../dicom-web/studies", 400, 401),
    ("/start/../api/system", 400, 401),
    ("/healthz/..;/dicom-web/studies", 404, 401),
    ("/healthz/..%5cdicom-web/studies", 404, 401),
    ("/healthz\\..\\dicom-web\\studies", 404, 401),
    ("/healthz/", 404, 401),
    ("/healthz;", 404, 401),
    ("/healthz;/dicom-web/studies", 404, 401),
    ("/healthz%20", 404, 401),
    ("/healthz%0a", 404, 401),
    ("/healthz%3f", 404, 401),
    ("/healthz%23", 404, 401),
    ("/healthz%00", 400, 400),
    ("/healthz\x80", 404, 401),
    ("/HEALTHZ", 404, 401),
    ("/Start?token={token}", 404, 401),
    ("/nothing/../healthz", 200, 200),
    ("//dicom-web/studies", 404, 401),
    ("//healthz", 404, 401),
    ("/dicom-web//studies", 400, 401),
    ("/dicom-web/./studies", 400, 401),
    ("/dicom-web/studies/", 404, 401),
    ("/dicom-web/studies;x=1", 404, 401),
    ("/dicom-web;/studies", 404, 401),
    ("/dicom-web/studies%00", 400, 400),
    ("/dicom-web/%00studies", 400, 400),
    ("/dicom-web/studies%0a", 400, 401),
    ("/dicom-web/studies%0d%0aX-Zpacs-Gate:%20x", 400, 401),
    ("/dicom-web/studies%09", 400, 401),
    ("/dicom-web/studies%7f", 400, 401),
    ("/dicom-web/studies%5c", 400, 401),
    ("/dicom-web/studies%", 400, 400),
    ("/dicom-web/studies%zz", 400, 400),
    ("/dicom-web/studies%c0%af", 400, 401),
    ("/dicom-web/studies%ff", 400, 401),
    ("/DICOM-WEB/studies", 404, 401),
    ("/dicom-web/Studies", 404, 401),
    ("/dicom%2dweb/studies", 200, 401),
    ("/%64icom-web/studies", 200, 401),
    ("/dicom-web%2fstudies", 400, 401),
    ("/dicom-web/studies/..", 400, 401),
    ("/dicom-web/studies/../../ohif/", 200, 401),
    ("/dicom-web/../../../etc/passwd", 400, 400),
    ("/ohif/../../../../etc/passwd", 400, 400),
    ("/ohif/%2e%2e/%2e%2e/%2e%2e/etc/passwd", 400, 400),
    ("/ohif/..%2f..%2f..%2f..%2fetc%2fpasswd", 400, 400),
    ("/ohif../stamp", 404, 401),
    ("/ohif../", 404, 401),
    ("/ohif/../stamp", 404, 401),
    ("/OHIF/", 404, 401),
    ("/api/../dicom-web/studies", 400, 401),
    ("/api//system", 400, 401),
    ("/api/System", 404, 401),
    ("/malformed", 404, 404),
    ("/@error", 404, 401),
    ("*", 400, 400),
    ("dicom-web/studies", 400, 400),
    ("?token={token}", 400, 400),
])
def test_path(door, target, status, status_without):
    assert door.status(target) == status
    assert door.status(target, token=False) == status_without


@pytest.mark.parametrize("target", ["/ohif/..%5c..%5c..%5cetc%5cpasswd", "/ohif/....//....//etc/passwd", "/ohif/%252e%252e/stamp"])
def test_path_that_is_no_file_is_the_viewer(door, target):
    answer = door.ask(target)
    assert statuses(answer) == [200] and b"<!doctype html>" in answer.lower() and b"root:" not in answer
    assert door.status(target, token=False) == 401


@pytest.mark.parametrize("byte", [b for b in [*range(33), 127] if b not in (9, 10, 32)])
def test_control_bytes_in_the_request_line(door, byte):
    for target in ("/healthz", STUDIES):
        answer = exchange(door.port, f"GET {target}".encode() + bytes([byte]) + b" HTTP/1.1\r\n" +
                          (door.host + door.bearer + CLOSE).encode() + b"\r\n")
        assert statuses(answer) == [400], answer


@pytest.mark.parametrize("target", ["{study}", "{study}/../{study}", "/ohif/..{study}", "/healthz/..{study}", "/start/..{study}", "/{study}",
                                    "{study}%00", "/%64icom-web/studies"])
def test_no_way_around_the_token_deletes(door, target):
    assert door.status(target, method="DELETE", token=False) in (400, 401)


# ---- methods ----------------------------------------------------------------------------------------------

@pytest.mark.parametrize("method, statuses_of", [
    #           studies, viewer, system, healthz, start, root
    ("HEAD", (200, 200, 200, 200, 401, 302)),
    ("PUT", (405, 405, 405, 405, 405, 302)),
    ("PATCH", (405, 405, 405, 405, 405, 302)),
    ("DELETE", (405, 405, 405, 405, 405, 302)),
    ("OPTIONS", (405, 405, 405, 200, 401, 302)),
    ("TRACE", (405, 405, 405, 405, 405, 405)),
    ("TRACK", (400, 405, 400, 405, 405, 302)),
    ("CONNECT", (405, 405, 405, 405, 405, 405)),
    ("PROPFIND", (405, 405, 405, 405, 405, 302)),
    ("MOVE", (400, 405, 400, 405, 405, 302)),
    ("BREW", (400, 405, 400, 405, 405, 302)),
    ("get", (400,) * 6),
])
def test_method(door, method, statuses_of):
    for target, status in zip((STUDIES, "/ohif/", "/api/system", "/healthz", "/start", "/"), statuses_of):
        answer = door.ask(target, method=method)
        assert statuses(answer) == [status], (target, answer)
        assert door.token.encode() not in answer and b"access-control" not in answer.lower()  # TRACE echoes nothing
    assert door.status("{study}", method=method, token=False) in (400, 401, 405)


def test_connect_opens_no_tunnel(door):
    for target in (f"127.0.0.1:{door.port + 1}", "evil.example:80"):
        assert door.status(target, method="CONNECT") == 400


OVERRIDES = ["X-HTTP-Method-Override: DELETE\r\n", "X-HTTP-Method: DELETE\r\n", "X-Method-Override: DELETE\r\n",
             "X-Original-Method: DELETE\r\n"]


@pytest.mark.parametrize("override", OVERRIDES)
def test_method_override_does_nothing(door, override):
    assert door.status("{study}/metadata", override) == 200
    assert door.status("{study}", override + "Content-Length: 0\r\n", method="POST") == 415
    assert door.status("{study}?_method=DELETE&method=DELETE", override) == 200


def test_override_in_a_form_does_nothing(door):
    body = "_method=DELETE"
    form = f"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {len(body)}\r\n"
    assert door.status("{study}", form, method="POST", body=body) == 415


# ---- bodies, and requests hidden in them ------------------------------------------------------------------

def hidden(door):
    """A request that would be served if it were one."""
    return door.fill("DELETE {study} HTTP/1.1\r\n") + door.host + door.bearer + "\r\n"


@pytest.mark.parametrize("target, status", [(STUDIES, 200), ("/api/system", 200), ("/ohif/", 200), ("/healthz", 200), ("/nothing", 404)])
def test_body_of_a_get_is_no_request(door, target, status):
    inner = hidden(door)
    assert door.status(target, f"Content-Length: {len(inner)}\r\n", body=inner) == status
    chunked = f"{len(inner):x}\r\n{inner}\r\n0\r\n\r\n"
    assert door.status(target, "Transfer-Encoding: chunked\r\n", body=chunked) == status
    # and the connection goes on with the next request behind the body
    answer = exchange(door.port, door.fill(f"GET {target} HTTP/1.1\r\n") + door.host + door.bearer +
                      f"Content-Length: {len(inner)}\r\n\r\n" + inner + "GET /healthz HTTP/1.1\r\n" + door.host + CLOSE + "\r\n")
    assert statuses(answer) == [status, 200]


FRAMINGS = [
    ("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n", 400),
    ("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", "0\r\n\r\n", 400),
    ("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n", 400),
    ("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n", "0\r\n\r\n", 400),
    ("Transfer-Encoding: chunked, chunked\r\n", "0\r\n\r\n", 501),
    ("Transfer-Encoding: gzip, chunked\r\n", "0\r\n\r\n", 501),
    ("Transfer-Encoding: identity\r\n", "", 501),
    ("Transfer-Encoding: xchunked\r\n", "0\r\n\r\n", 501),
    ("Transfer-Encoding: \x0bchunked\r\n", "0\r\n\r\n", 501),
    ("Transfer-Encoding: chunked;a=b\r\n", "0\r\n\r\n", 501),
    ("Transfer-Encoding : chunked\r\nContent-Length: 0\r\n", "", 400),
    ("Transfer-Encoding: chunked\0\r\n", "0\r\n\r\n", 400),
    ("X: a\rTransfer-Encoding: chunked\r\n", "0\r\n\r\n", 400),
    ("X: a\r\n Transfer-Encoding: chunked\r\n", "0\r\n\r\n", 400),
    ("Content-Length: 0\r\nContent-Length: 0\r\n", "", 400),
    ("Content-Length: 0\r\nContent-Length: 5\r\n", "", 400),
    ("Content-Length: -1\r\n", "", 400),
    ("Content-Length: +0\r\n", "", 400),
    ("Content-Length: 0x0\r\n", "", 400),
    ("Content-Length: 0,0\r\n", "", 400),
    ("Content-Length: \r\n", "", 400),
    ("Content-Length: 99999999999999999999\r\n", "", 400),
    ("Transfer-Encoding: chunked\r\n", "-5\r\nhello\r\n0\r\n\r\n", 400),
    ("Transfer-Encoding: chunked\r\n", "0x5\r\nhello\r\n0\r\n\r\n", 400),
    ("Transfer-Encoding: chunked\r\n", " 5\r\nhello\r\n0\r\n\r\n", 400),
    ("Transfer-Encoding: chunked\r\n", "5\r\nhello!0\r\n\r\n", 400),
    ("Transfer-Encoding: chunked\r\n", "ffffffffffffffffff\r\n", 400),
    ("Transfer-Encoding: chunked\r\n", "5;a=b\r\nhello\r\n5\n", 400),
    ("Transfer-Encoding:\r\n chunked\r\n", "0\r\n\r\n", 400),
    ("Content-Length: 0\r\nTransfer-Encoding: identity\r\n", "", 501),
]


def test_there_are_framings_enough():
    assert len(set(FRAMINGS)) >= 30


@pytest.mark.parametrize("fields, body, status", FRAMINGS)
def test_framing_that_two_readers_read_differently_ends_the_connection(door, fields, body, status):
    request = door.fill(f"POST {STUDIES} HTTP/1.1\r\n") + door.host + door.bearer + fields + "\r\n" + body + hidden(door)
    answer = exchange(door.port, request)
    assert statuses(answer) == [status], answer
    assert b'"error":"PROXY"' in answer


@pytest.mark.parametrize("offset", [1, 2], ids=["dicomweb", "stow"])
@pytest.mark.parametrize("fields, body, status", FRAMINGS)
def test_services_own_port_reads_framing_as_strictly(door, offset, fields, body, status):
    """Without nginx in front: the same is refused, and what is hidden behind it is at most a request that is none."""
    gate = door.host + f"X-Zpacs-Gate: {door.gate}\r\n"
    upload = 'Content-Type: multipart/related; type="application/dicom"; boundary=B\r\n'  # or nobody would read the body
    request = (door.fill(f"POST {STUDIES} HTTP/1.1\r\n") + gate + upload + fields + "\r\n" + body +
               door.fill("DELETE {study} HTTP/1.1\r\n") + gate + CLOSE + "\r\n")
    codes = statuses(exchange(door.port + offset, request, is_last=True))
    assert len(codes) <= 2 and all(400 <= code < 500 for code in codes), codes


def test_body_of_a_stranger_is_not_waited_for(door):
    for fields in ("Expect: 100-continue\r\nContent-Length: 99999999999\r\n", "Expect: 100-continue\r\nTransfer-Encoding: chunked\r\n",
                   "Content-Length: 99999999999\r\n"):
        assert door.status(STUDIES, fields, method="POST", token=False, is_last=True) == 401
        assert door.status(STUDIES, fields + "Origin: http://evil.example\r\n", method="POST", is_last=True) == 403


def test_only_stow_takes_large_bodies(door):
    for target in ("/api/system", "{study}/metadata", "/dicom-web/", "/wado"):
        assert door.status(target, "Content-Length: 2000000\r\n", method="POST", is_last=True) == 413


def test_old_http_has_no_chunks(door):
    assert door.status(STUDIES, "Transfer-Encoding: chunked\r\n", method="POST", version="HTTP/1.0", body="0\r\n\r\n") == 400


def test_bare_line_feeds_are_read_as_one_request(door):
    """RFC 9112 2.2 allows it; what reaches the service is written anew."""
    request = f"GET {STUDIES} HTTP/1.1\r\n" + door.host + door.bearer + CLOSE + "\r\n"
    assert statuses(exchange(door.port, request.replace("\r\n", "\n"))) == [200]
    assert statuses(exchange(door.port, request.replace(door.bearer, "").replace("\r\n", "\n"))) == [401]


@pytest.mark.parametrize("fields", [WEBSOCKET, "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n"],
                         ids=["websocket", "h2c"])
def test_nothing_is_upgraded(door, fields):
    for target, status in ((STUDIES, 200), ("/ohif/", 200), ("/api/system", 200)):
        request = f"GET {target} HTTP/1.1\r\n" + door.host + door.bearer + fields + "\r\n"
        answer = exchange(door.port, request + "GET /healthz HTTP/1.1\r\n" + door.host + CLOSE + "\r\n")
        assert statuses(answer) == [status, 200] and b"Upgrade" not in answer
        assert statuses(exchange(door.port, request.replace(door.bearer, "") + "GET /healthz HTTP/1.1\r\n" + door.host + CLOSE +
                                 "\r\n")) == [401, 200]


def test_http2_preface_is_no_request(door):
    answer = exchange(door.port, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
    assert statuses(answer) == [400]
