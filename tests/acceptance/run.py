"""Runs the black-box acceptance of ../shared/accept against the stack named in the environment.

expected.tsv lists checks that cannot pass yet, with the reason; a check listed there that passes is a
failure of the list. Last line: N passed, N failed, N skipped.
"""
import csv
import fnmatch
import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
SHARED = HERE.parents[2] / "shared"
RESULTS = HERE.parents[1] / "build/acceptance.tsv"
SECTIONS = "assoc,store,stow,stowerr,wado,meta,bulk,frames,qido,errors,robust"


def rows(path):
    with open(path, newline="") as file:
        return list(csv.DictReader((l for l in file if not l.startswith("#")), delimiter="\t", quoting=csv.QUOTE_NONE))


def main():
    RESULTS.unlink(missing_ok=True)
    RESULTS.parent.mkdir(exist_ok=True)
    run = subprocess.run([
        "/usr/bin/python3", SHARED / "accept/accept.py", "--aet", "ZPACS", "--port", os.environ["ZPACS_TEST_DICOM_PORT"],
        "--web", os.environ["ZPACS_TEST_WEB"] + "/dicom-web", "--header", "Authorization: Bearer " + os.environ["ZPACS_TEST_TOKEN"],
        "--data", SHARED / "data", "--only", SECTIONS, "--out", RESULTS], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if not RESULTS.exists():
        print(run.stdout)
        print("0 passed, 1 failed")
        return 1
    for line in run.stdout.splitlines():
        if line.startswith("-- "):
            print(line)
    expected = rows(HERE / "expected.tsv")
    passed = failed = skipped = 0
    used = set()
    for row in rows(RESULTS):
        known = next((i for i, e in enumerate(expected)
                      if e["section"] == row["section"] and fnmatch.fnmatchcase(row["check"], e["check"])), None)
        if row["status"] == "PASS":
            passed += 1
        elif row["status"] == "FAIL" and known is not None:
            used.add(known)
            skipped += 1
        elif row["status"] == "FAIL":
            failed += 1
            print("FAIL", row["section"], row["check"], row["detail"], f"[{row['clause']}]")
    for i, entry in enumerate(expected):
        if i not in used:
            failed += 1
            print("FAIL expected.tsv: passes or is gone, take it off the list:", entry["section"], entry["check"])
    print(f"{passed} passed, {failed} failed, {skipped} skipped")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
