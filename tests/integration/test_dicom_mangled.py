"""Truncated and bit-flipped files never crash the readers of common/dicom (sanitizer build)."""
import pathlib
import re
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
TOOL = 'build/asan/tests/tools/dicom_mangle'
SHARED = ROOT.parent / 'shared' / 'data'
CORPUS = sorted((ROOT / 'tests' / 'fuzz' / 'dicom').glob('corpus-file/*'))
FILES = sorted(p for p in SHARED.glob('*/*') if p.is_file()) or CORPUS


def test_mangled_files_are_refused_or_read():
    if subprocess.run(['make', '-s', 'MODE=asan', TOOL], cwd=ROOT).returncode:
        pytest.fail('the sanitizer build failed')
    result = subprocess.run([ROOT / TOOL, '200', *FILES], capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stderr[-3000:]
    accepted, refused = map(int, re.fullmatch(r'(\d+) accepted, (\d+) refused\n', result.stdout).groups())
    assert accepted > 200 * len(FILES) and refused > 20 * len(FILES)
