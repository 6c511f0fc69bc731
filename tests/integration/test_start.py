"""Start and stop, the door's guard, and what comes back when it is killed."""
import http.client
import json
import os
import signal
import stat
import subprocess

import pytest
import requests
from stack import ROOT, SERVICES, wait_until


def ask(stack, method, path, headers=None):
    """A plain request without the token: (status, header fields, body)."""
    connection = http.client.HTTPConnection("127.0.0.1", stack.port, timeout=30)
    try:
        connection.request(method, path, headers=headers or {})
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read()
    finally:
        connection.close()


def cookie(stack):
    return {"Cookie": f"zpacs_{stack.port}={stack.token}"}


# ---- start --------------------------------------------------------------------------------------

def test_endpoints_file_names_the_addresses(stack):
    assert stack.endpoints == {
        "http": stack.base,
        "dicom": {"host": "127.0.0.1", "port": stack.dicom_port, "aet": "ZPACS"},
        "token": stack.token,
    }
    assert len(stack.token) == 64


def test_secrets_are_private(stack):
    for name in ("run/endpoints.json", "run/token", "run/gate", "run/nginx/secrets.conf"):
        assert stat.S_IMODE((stack.data / name).stat().st_mode) == 0o600, name


def test_second_up_says_so_and_changes_nothing(stack):
    before = [stack.pid(s) for s in SERVICES]
    result = stack.zpacs("up", "--detach")
    assert "running on" in result.stdout and "nothing was changed" in result.stdout
    assert stack.base in result.stdout
    assert [stack.pid(s) for s in SERVICES] == before
    assert json.loads((stack.data / "run/endpoints.json").read_text()) == stack.endpoints


def test_status_shows_every_process(stack):
    result = stack.zpacs("status")
    for service in SERVICES:
        line = next(l for l in result.stdout.splitlines() if l.split()[:1] == [service])
        assert "RUNNING" in line and "uptime" in line and line.endswith(", healthy")


def test_logs_are_json_lines(stack):
    wait_until(lambda: stack.log("nginx"))  # gathers its lines for a second
    for service in SERVICES:
        lines = stack.zpacs("logs", service).stdout.splitlines()
        assert lines, service
        for line in lines:
            record = json.loads(line)
            assert record["service"] == service and record["event"] and record["ts"]


def test_everything_listens_on_loopback_only(stack):
    table = [l.split() for l in open("/proc/net/tcp").readlines()[1:]]
    ours = {f"{stack.port + i:04X}" for i in range(16)}
    listening = {row[1] for row in table if row[3] == "0A" and row[1].split(":")[1] in ours}
    assert len(listening) >= 6
    assert all(address.startswith("0100007F:") for address in listening), listening


@pytest.mark.skipif(os.geteuid() != 0, reason="as root only")
def test_nothing_runs_as_root(stack):
    owner = stack.data.stat().st_uid
    assert owner != 0
    for pid in [stack.pid(s) for s in SERVICES]:
        status = dict(l.split(":", 1) for l in open(f"/proc/{pid}/status").read().splitlines() if ":" in l)
        assert set(status["Uid"].split()) == {str(owner)}
        assert int(status["CapEff"], 16) == 0 and status["NoNewPrivs"].strip() == "1"


def test_nginx_configuration_passes_its_lint(stack):
    result = subprocess.run([ROOT / "scripts/lint-nginx", stack.data / "run/nginx/nginx.conf"], text=True, capture_output=True)
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("spoil", [
    ("guard.conf;\n            return 404", "answer.conf;\n            return 404"),
    ("upstream.conf;\n            proxy_pass http://zpacs_dicomweb", "upstream.conf;\n            proxy_set_header X a;\n            proxy_pass http://zpacs_dicomweb"),
    ("return 302 /ohif/", "rewrite ^/(.*)$ /ohif/$1"),
    ("location /ohif/ {", "location /ohif {"),
], ids=["no guard", "header field of its own", "rewrite", "alias off by a slash"])
def test_lint_finds_what_it_is_for(spoil):
    text = (ROOT / "reverse-proxy/nginx.conf.in").read_text()
    assert spoil[0] in text
    result = subprocess.run([ROOT / "scripts/lint-nginx"], input=text.replace(*spoil, 1), text=True, capture_output=True)
    assert result.returncode == 1 and "lint-nginx:" in result.stderr


# ---- the token ----------------------------------------------------------------------------------

@pytest.mark.parametrize("path", ["/", "/ohif/", "/ohif/app-config.js", "/dicom-web/studies", "/dicom-web/",
                                  "/wado", "/api/system", "/nothing"])
@pytest.mark.parametrize("headers", [
    {}, {"Authorization": "Bearer " + "0" * 64}, {"Authorization": "Bearer "}, {"Authorization": "Basic OjA="},
    {"Cookie": "zpacs_0=1"}, {"X-Zpacs-Gate": "x"}, {"Remote-User": "admin"},
], ids=["none", "wrong", "empty", "basic", "cookie", "gate", "user"])
def test_no_token_no_answer(stack, path, headers):
    status, fields, body = ask(stack, "GET", path, headers)
    assert status == 401
    assert fields["WWW-Authenticate"] == 'Bearer realm="zpacs"'
    assert json.loads(body)["status"] == 401


@pytest.mark.parametrize("path", ["/ohif/", "/dicom-web/studies", "/api/system"])
def test_bearer_and_cookie_open(stack, path):
    for headers in ({"Authorization": f"Bearer {stack.token}"}, cookie(stack)):
        status, _, body = ask(stack, "GET", path, headers)
        assert status in (200, 204), body


def test_start_link_sets_a_cookie_and_leaves_the_token_behind(stack):
    status, fields, _ = ask(stack, "GET", f"/start?token={stack.token}")
    assert status == 303 and fields["Location"] == "/ohif/"
    name, *attributes = [part.strip() for part in fields["Set-Cookie"].split(";")]
    assert name == f"zpacs_{stack.port}={stack.token}"
    assert {"HttpOnly", "SameSite=Strict", "Path=/"} <= set(attributes)
    with requests.Session() as browser:
        browser.trust_env = False
        page = browser.get(f"{stack.base}/start?token={stack.token}")
        assert page.status_code == 200 and "OHIF" in page.text and stack.token not in page.url


def test_start_link_with_a_wrong_token(stack):
    for query in ("", "?token=", "?token=" + "0" * 64, f"?other={stack.token}"):
        status, fields, _ = ask(stack, "GET", "/start" + query)
        assert status == 401 and "Set-Cookie" not in fields


def test_token_and_queries_are_in_no_log(stack):
    def lines(path):
        return stack.log("nginx").count(f'"path":"{path}"')

    names = "/dicom-web/studies/1.2.3/series"
    before = {path: lines(path) for path in ("/start", names)}
    ask(stack, "GET", f"/start?token={stack.token}")
    ask(stack, "GET", f"{names}?PatientName=Geheimnis*", cookie(stack))
    wait_until(lambda: all(lines(path) > count for path, count in before.items()))  # nginx gathers its lines for a second
    for log in (stack.data / "logs").iterdir():
        text = log.read_text(errors="replace")
        assert stack.token not in text and "Geheimnis" not in text, log.name


def test_gate_refuses_who_comes_around_nginx(stack):
    for offset in (1, 2):
        for headers in ({}, {"X-Zpacs-Gate": "0" * 64}, {"Authorization": f"Bearer {stack.token}"}):
            answer = requests.get(f"http://127.0.0.1:{stack.port + offset}/dicom-web/studies", headers=headers,
                                  timeout=10, proxies={"http": None})
            assert answer.status_code == 401


# ---- Host and Origin ------------------------------------------------------------------------------

@pytest.mark.parametrize("host", ["evil.example", "evil.example:{port}", "127.0.0.1:1", "0.0.0.0:{port}", "127.0.0.1.evil.example:{port}",
                                  "localhost.:{port}"])
@pytest.mark.parametrize("path", ["/ohif/", "/dicom-web/studies", "/start", "/healthz"])
def test_foreign_host_is_refused(stack, host, path):
    status, _, _ = ask(stack, "GET", path, {"Host": host.format(port=stack.port), **cookie(stack)})
    assert status == 421


def test_own_names_are_known(stack):
    for host in ("127.0.0.1", "localhost", "LocalHost", "[::1]"):
        status, _, _ = ask(stack, "GET", "/ohif/", {"Host": f"{host}:{stack.port}", **cookie(stack)})
        assert status == 200, host
        status, _, _ = ask(stack, "GET", "/ohif/", {"Host": host, **cookie(stack)})
        assert status == 200, host


@pytest.mark.parametrize("method, path", [("POST", "/dicom-web/studies"), ("POST", "/dicom-web/studies/1.2.3"),
                                          ("DELETE", "/dicom-web/studies/1.2.3"), ("PUT", "/api/x"), ("PATCH", "/ohif/"),
                                          ("POST", "/start")])
@pytest.mark.parametrize("page", [
    {"Origin": "http://evil.example"}, {"Origin": "null"}, {"Origin": "http://127.0.0.1"}, {"Origin": "http://127.0.0.1:1"},
    {"Origin": "https://127.0.0.1:{port}"}, {"Origin": "http://localhost:{port}"}, {"Origin": "http://127.0.0.1:{port}.evil.example"},
    {"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"},
    {"Origin": "http://127.0.0.1:{port}", "Sec-Fetch-Site": "cross-site"},
], ids=lambda page: " ".join(page.values()))
def test_other_sites_change_nothing(stack, method, path, page):
    headers = {name: value.format(port=stack.port) for name, value in page.items()}
    status, _, body = ask(stack, method, path, {**headers, **cookie(stack)})
    assert status == 403 and b"another site" in body


def test_own_page_and_programs_may(stack):
    for page in ({}, {"Origin": stack.base}, {"Origin": stack.base, "Sec-Fetch-Site": "same-origin"}):
        status, _, body = ask(stack, "DELETE", "/dicom-web/studies/1.2.3.4.5.6.7.8.9", {**page, **cookie(stack)})
        assert status == 404 and b"another site" not in body


def test_reading_needs_no_origin_but_the_token(stack):
    status, _, _ = ask(stack, "GET", "/dicom-web/studies", {"Origin": "http://evil.example", **cookie(stack)})
    assert status in (200, 204)
    status, fields, _ = ask(stack, "GET", "/dicom-web/studies", {"Origin": "http://evil.example"})
    assert status == 401 and "Access-Control-Allow-Origin" not in fields


# ---- paths ----------------------------------------------------------------------------------------

@pytest.mark.parametrize("path", ["/ohif/../dicom-web/studies", "/healthz/../dicom-web/studies", "/start/..%2fdicom-web/studies",
                                  "/healthz%2f..%2fdicom-web/studies", "//dicom-web/studies", "/%64icom-web/studies"])
def test_no_way_around_the_guard(stack, path):
    assert ask(stack, "GET", path)[0] in (400, 401, 404)


@pytest.mark.parametrize("path", ["/ohif/../../../etc/passwd", "/ohif/..%2f..%2f..%2fetc/passwd", "/ohif../stamp", "/ohif/%2e%2e/stamp"])
def test_no_way_out_of_the_viewer_folder(stack, path):
    status, _, body = ask(stack, "GET", path, cookie(stack))
    assert (status in (400, 404) or b"OHIF Viewer" in body) and b"root:" not in body


def test_pages_have_their_policy(stack):
    _, fields, _ = ask(stack, "GET", "/ohif/", cookie(stack))
    policy = dict(part.strip().split(" ", 1) for part in fields["Content-Security-Policy"].split(";"))
    assert "unsafe-inline" not in policy["script-src"] and "unsafe-eval'" not in policy["script-src"].replace("'wasm-unsafe-eval'", "")
    assert policy["default-src"] == "'self'" and fields["X-Content-Type-Options"] == "nosniff"
    assert fields["Server"] == "nginx"


# ---- killed things come back ------------------------------------------------------------------------

@pytest.mark.parametrize("signal_number", [signal.SIGKILL, signal.SIGTERM], ids=["KILL", "TERM"])
@pytest.mark.parametrize("service", SERVICES)
def test_killed_service_comes_back(stack, service, signal_number):
    stack.wait_healthy()
    before = stack.pid(service)
    assert before > 0
    os.kill(before, signal_number)
    wait_until(lambda: stack.pid(service) not in (0, before), 20)
    stack.wait_healthy(seconds=20)
    with stack.session() as session:
        wait_until(lambda: session.get(stack.web + "/studies", timeout=10).status_code in (200, 204), 20)


def test_services_end_with_their_supervisor_and_up_starts_again(fresh_stack):
    pids = [fresh_stack.pid(s) for s in SERVICES]
    os.kill(int((fresh_stack.data / "run/supervisord.pid").read_text()), signal.SIGKILL)
    wait_until(lambda: not any(is_running(p) for p in pids), 20)
    assert fresh_stack.zpacs("status", check=False).returncode == 3
    token = fresh_stack.token
    fresh_stack.up()
    assert fresh_stack.token == token


def test_down_ends_everything(fresh_stack):
    pids = [fresh_stack.pid(s) for s in SERVICES]
    assert all(pids)
    fresh_stack.down()
    assert not any(is_running(p) for p in pids)
    assert not (fresh_stack.data / "run/endpoints.json").exists()
    assert "not running" in fresh_stack.down().stdout


def is_running(pid):
    try:
        return open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False
