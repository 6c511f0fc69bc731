"""How long after the answer to a C-STORE the study is found over QIDO-RS."""
import http.client
import json
import threading
import time
import urllib.parse

import generators as g

POLL_SECONDS = 0.0005
LIMIT_SECONDS = 30


class Poller(threading.Thread):
    """Asks again and again; seen_at is when the study was first in the answer."""

    def __init__(self, target, web, study):
        super().__init__(daemon=True)
        address = urllib.parse.urlparse(web)
        self.connection = http.client.HTTPConnection(address.hostname, address.port, timeout=LIMIT_SECONDS)
        self.path = f"{address.path}/studies?StudyInstanceUID={study}"
        self.fields = {"Accept": "application/dicom+json"}
        if target["auth"]:
            name, value = target["auth"].split(": ", 1)
            self.fields[name] = value
        self.seen_at = None

    def run(self):
        end = time.time() + LIMIT_SECONDS
        while time.time() < end:
            self.connection.request("GET", self.path, headers=self.fields)
            answer = self.connection.getresponse()
            if len(answer.read()) > 10 and answer.status == 200:
                self.seen_at = time.time()
                return
            time.sleep(POLL_SECONDS)


def seconds_until_visible(target, web):
    salt = g.next_salt()
    study = json.loads((g.CORPUS / "manifest.json").read_text())["light"][0]["study"]
    poller = Poller(target, web, study.replace(f".999.{g.BASE}.", f".999.{salt}."))
    poller.start()
    time.sleep(0.02)
    stored = g.store(target, "light_small.pack", 1, 1, salt)
    poller.join(LIMIT_SECONDS + 5)
    if poller.seen_at is None or "error" in stored:
        raise RuntimeError(stored.get("error", f"not visible after {LIMIT_SECONDS} s"))
    return max(poller.seen_at - stored["t_last_rsp"], 0)  # it may be seen before the answer is
