"""What an archive can go through: a stack, the ways in, the decisions; and images whose UIDs are always the same."""
import fcntl
import os
import re
import signal
from collections import namedtuple
from contextlib import contextmanager
from io import BytesIO

import pydicom
from dimse_client import Association
from stack import Stack, wait_until
from test_archive import dataset_of, good_files
from test_peers import make_ct, part10

ROOT = "1.2.826.0.1.3680043.10.1338.200"
SHORT = {"ZPACS_COMPACT_AFTER_SECONDS": "1", "ZPACS_RETIRE_GRACE_SECONDS": "1"}
LONG = {"ZPACS_COMPACT_AFTER_SECONDS": "3600", "ZPACS_RETIRE_GRACE_SECONDS": "3600"}

Image = namedtuple("Image", "study series instance sop_class syntax file")


def make(study, series=1, instance=1, pixels=0, **attributes):
    """Image `instance` of a made study: UIDs are numbers behind our root."""
    uid = f"{ROOT}.{study}"
    ds = make_ct(StudyInstanceUID=uid, SeriesInstanceUID=f"{uid}.{series}", SOPInstanceUID=f"{uid}.{series}.{instance}",
                 PatientID=f"MADE-{study}", PatientName=f"Made^Number {study}", AccessionNumber=f"M{study}",
                 StudyID=str(study), SeriesNumber=series, InstanceNumber=instance,
                 PixelData=bytes([study, series, instance, pixels]) * 128)
    for name, value in attributes.items():
        setattr(ds, name, value)
    ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
    return image_of(part10(ds))


def image_of(file):
    ds = pydicom.dcmread(BytesIO(file), stop_before_pixels=True, force=True)
    return Image(str(ds.StudyInstanceUID), str(ds.SeriesInstanceUID), str(ds.SOPInstanceUID), str(ds.SOPClassUID),
                 str(ds.file_meta.get("TransferSyntaxUID", "")), file)


def real_images(shared_data):
    """{name of the file, without ".dcm" and with an underscore for each other sign: image}"""
    return {re.sub(r"\W", "_", path.name.removesuffix(".dcm")): image_of(file)
            for path, file, _ in good_files(shared_data)}


def is_free(lock):
    """Nobody holds it who was started by `up`."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


class Past:
    """A stack, and what is done with it."""

    def __init__(self, shared_data, **environment):
        self.stack = Stack(**environment, **SHORT)
        self.real = real_images(shared_data)
        self.web = None

    def __enter__(self):
        self.stack.__enter__()
        self.web = self.stack.session()
        return self

    def __exit__(self, *_):
        try:
            self.end()
        finally:
            self.stack.destroy()

    def end(self):
        """All programs at the same time, by the death of their supervisor: `down` ends one after the other."""
        os.kill(int((self.stack.data / "run/supervisord.pid").read_text()), signal.SIGKILL)
        with open(self.stack.data / "run/lock") as lock:
            wait_until(lambda: is_free(lock), 30, lambda: "some program does not end")

    def up(self, **environment):
        self.stack.environment.update(environment)
        self.stack.up()
        self.stack.wait_healthy()
        self.web.headers["Authorization"] = f"Bearer {self.stack.token}"

    def restart(self, **environment):
        """Seals all packs."""
        self.end()
        self.up(**environment)

    # ---- ways in --------------------------------------------------------------------------------
    @contextmanager
    def arriving(self, count):
        """Waits until the index has taken in so many records; each is told once in the feed."""
        before = self.api("GET", "/changes?limit=1").json()
        since = f"/changes?limit=1000&epoch={before['epoch']}&since={before['last']}"
        yield
        wait_until(lambda: sum(c["kind"].startswith("instance.") for c in self.api("GET", since).json()["changes"]) >= count,
                   30, lambda: f"{count} records were sent, the feed has {self.api('GET', since).text}")

    def store(self, *images, calling="MODALITY"):
        """C-STORE on one association, in the given order."""
        kinds = sorted({(i.sop_class, i.syntax) for i in images})
        contexts = [(sop_class, [syntax]) for sop_class, syntax in kinds]
        with self.arriving(len(images)), \
                Association(self.stack.dicom_port, contexts, calling=calling) as association:
            for i in images:
                context = 2 * kinds.index((i.sop_class, i.syntax)) + 1
                assert association.store(i.sop_class, i.instance, dataset_of(i.file), context).status == 0
            association.release()

    def stow(self, *images):
        body = b"".join(b"\r\n--B\r\nContent-Type: application/dicom\r\n\r\n" + i.file for i in images)
        with self.arriving(len(images)):
            answer = self.web.post(self.stack.web + "/studies", data=body + b"\r\n--B--\r\n", timeout=60, headers={
                "Accept": "application/dicom+json",
                "Content-Type": 'multipart/related; type="application/dicom"; boundary=B'})
        assert answer.status_code in (200, 202), answer.text

    def load(self, *images):
        """`zpacs import` of a folder."""
        folder = self.stack.folder / "load"
        folder.mkdir(exist_ok=True)
        for number, image in enumerate(images):
            (folder / f"{number:04}.dcm").write_bytes(image.file)
        with self.arriving(len(images)):
            self.stack.zpacs("import", folder, check=False)
        for path in folder.iterdir():
            path.unlink()

    # ---- decisions ------------------------------------------------------------------------------
    def api(self, method, path, **body):
        answer = self.web.request(method, f"{self.stack.base}/api{path}", json=body or None, timeout=30)
        assert answer.status_code < 300, (path, answer.text)
        return answer

    def delete(self, *uids):
        path = "".join(f"/{name}/{uid}" for name, uid in zip(("studies", "series", "instances"), uids))
        assert self.web.delete(self.stack.web + path, timeout=30).status_code == 204, path

    def undelete(self, study, series="", instance=""):
        return self.api("POST", f"/studies/{study}/undelete", series=series, instance=instance).json()

    def resolve(self, outcome, instance, source=None):
        """source: of those aside, the one that came from there."""
        aside = [c for c in self.conflicts() if c["instance"] == instance and source in (None, c["source"])]
        return self.api("POST", f"/conflicts/{instance}", outcome=outcome, record=aside[0]["record"]).json()["made"]

    def conflicts(self):
        return self.api("GET", "/conflicts").json()["conflicts"]

    # ---- what has come to pass ------------------------------------------------------------------
    def system(self):
        return self.api("GET", "/system").json()

    def wait_read(self):
        """Until the index has read all packs."""
        def is_read():
            state = self.system()
            return state["lag_bytes"] == 0 and not state["rebuilding"]
        wait_until(is_read, 60, lambda: f"not read: {self.system()}")

    def holds(self, data):
        """Some pack has these bytes."""
        for pack in (self.stack.data / "packs").rglob("*.pack"):
            try:
                if data in pack.read_bytes():
                    return True
            except FileNotFoundError:
                pass  # on its way out
        return False
