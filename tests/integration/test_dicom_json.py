"""The JSON and the frames of common/dicom against pydicom, attribute by attribute.

Files: ../shared/data/good beside the clone, else tests/data/dicom; without either the module is skipped.
"""
import base64
import json
import math
import os
import pathlib
import re
import struct
import subprocess
import warnings
import zlib

import pytest

pydicom = pytest.importorskip('pydicom')
from pydicom import filewriter  # noqa: E402
from pydicom.encaps import generate_pixel_data_frame  # noqa: E402
from pydicom.multival import MultiValue  # noqa: E402

ROOT = pathlib.Path(__file__).resolve().parents[2]
MODE = os.environ.get('MODE', 'debug')
TOOLS = ROOT / 'build' / MODE / 'tests' / 'tools'
SHARED = ROOT.parent / 'shared' / 'data' / 'good'
FOLDER = SHARED if SHARED.is_dir() else ROOT / 'tests' / 'data' / 'dicom'
FILES = sorted(p for p in FOLDER.glob('*') if p.is_file()) if FOLDER.is_dir() else []

BULK = 'http://host/bulk'
INLINE_MAX = 64
BINARY = {'OB', 'OD', 'OF', 'OL', 'OV', 'OW', 'UN'}
NUMBER = {'US', 'SS', 'UL', 'SL', 'FL', 'FD', 'SV', 'UV'}
WHOLE = {'ST', 'LT', 'UT', 'UR'}
UNIT = {'OW': 2, 'OL': 4, 'OF': 4, 'OD': 8, 'OV': 8}
BIG_ENDIAN = '1.2.840.10008.1.2.2'
NATIVE = {'1.2.840.10008.1.2', '1.2.840.10008.1.2.1', '1.2.840.10008.1.2.1.99', BIG_ENDIAN}

warnings.filterwarnings('ignore')
pytestmark = pytest.mark.skipif(not FILES, reason='no folder of DICOM files')


def run(tool, *arguments):
    subprocess.run(['make', '-s', f'MODE={MODE}', f'build/{MODE}/tests/tools/{tool}'], cwd=ROOT, check=True)
    result = subprocess.run([TOOLS / tool, *arguments], capture_output=True, check=True)
    lines = result.stdout.decode('utf-8').splitlines()  # strict: the output must be UTF-8
    return dict(zip((p.name for p in FILES), lines, strict=True))


@pytest.fixture(scope='module')
def json_of():
    return run('dicom_json', '--bulk', BULK, '--inline', str(INLINE_MAX), *FILES)


@pytest.fixture(scope='module')
def frames_of():
    return run('dicom_frames', *FILES)


def reference(path):
    dataset = pydicom.dcmread(path)
    syntax = str(dataset.file_meta.TransferSyntaxUID)
    try:
        filewriter.correct_ambiguous_vr(dataset, syntax != BIG_ENDIAN)
    except (AttributeError, NotImplementedError):
        pass
    return dataset, syntax


def name_groups(text):
    """PS3.18 F.2.2"""
    groups = {}
    for key, value in zip(('Alphabetic', 'Ideographic', 'Phonetic'), text.split('=')):
        if value.rstrip(' \0'):
            groups[key] = value.rstrip(' \0')
    return groups


def plain(text):
    return all(ord(c) < 128 for c in text)


class Comparison:
    def __init__(self, syntax):
        self.faults = []
        self.compared = 0
        self.big_endian = syntax == BIG_ENDIAN

    def fault(self, path, what):
        self.faults.append(f'{path}: {what}')

    def dataset(self, dataset, found, path, charset):
        if 'SpecificCharacterSet' in dataset:
            charset = dataset.SpecificCharacterSet
        wanted = {}
        for tag in dataset.keys():
            if tag.element != 0 and tag.group != 2 and tag != 0xFFFCFFFC:
                wanted['%08X' % tag] = tag
        if list(found) != sorted(found):
            self.fault(path, 'keys do not ascend')
        for key in wanted.keys() ^ found.keys():
            self.fault(path + key, 'missing' if key in wanted else 'added')
        for key in wanted.keys() & found.keys():
            try:
                element = dataset[wanted[key]]
            except Exception:  # pydicom cannot convert the value
                assert 'vr' in found[key]
                continue
            self.element(element, found[key], path + key, charset)

    def element(self, element, found, path, charset):
        self.compared += 1
        if element.tag == 0x00080005:
            if found != {'vr': 'CS', 'Value': ['ISO_IR 192']}:
                self.fault(path, 'the character set is not UTF-8')
            return
        vr = found['vr']
        if vr != element.VR:
            # Private dictionaries are not ours; an undecided VR is a sentence in pydicom.
            private = element.tag.is_private and vr == 'UN'
            if not private and ' or ' not in element.VR:
                self.fault(path, f'vr {vr}, not {element.VR}')
            return
        if vr == 'SQ':
            self.sequence(element, found, path, charset)
        elif vr in BINARY:
            self.binary(element, found, path)
        elif element.value is None or element.is_empty:
            if set(found) != {'vr'} and found.get('Value') not in ([], [None]):
                self.fault(path, f'should be empty: {found}')
        else:
            self.values(element, found, path, charset)

    def sequence(self, element, found, path, charset):
        items = found.get('Value', [])
        if len(items) != len(element.value):
            self.fault(path, f'{len(items)} items, not {len(element.value)}')
            return
        for number, (wanted, item) in enumerate(zip(element.value, items), 1):
            self.dataset(wanted, item, f'{path}/{number}/', charset)

    def binary(self, element, found, path):
        value = element.value if isinstance(element.value, bytes) else b''
        if 'BulkDataURI' in found:
            if found['BulkDataURI'] != f'{BULK}/{path}':
                self.fault(path, found['BulkDataURI'])
            if len(value) <= INLINE_MAX and path not in ('7FE00010', '7FE00008', '7FE00009'):
                self.fault(path, 'bulk though short')
            return
        inline = base64.b64decode(found.get('InlineBinary', ''))
        unit = UNIT.get(element.VR, 1)
        if self.big_endian and unit > 1:
            value = b''.join(value[i:i + unit][::-1] for i in range(0, len(value), unit))
        if inline != value:
            self.fault(path, 'bytes differ')

    def values(self, element, found, path, charset):
        wanted = element.value
        wanted = list(wanted) if isinstance(wanted, (MultiValue, list, tuple)) else [wanted]
        values = found.get('Value', [])
        if element.VR in WHOLE:
            wanted = [element.value if isinstance(element.value, str) else '\\'.join(element.value)]
        if len(values) != len(wanted):
            self.fault(path, f'{len(values)} values, not {len(wanted)}')
            return
        for value, want in zip(values, wanted):
            if not self.equal(element.VR, value, want, charset):
                self.fault(path, f'{element.VR} {value!r}, not {want!r}')

    def equal(self, vr, value, want, charset):
        if vr == 'PN':
            if not charset and not plain(str(want)):
                return True  # undeclared bytes: nobody knows
            return (value or {}) == name_groups(str(want)) or '\ufffd' in str(want)
        if want is None or want == '':
            return value is None
        if vr == 'AT':
            return value == '%08X' % want
        if vr in ('DS', 'IS'):
            if isinstance(value, str):  # what is no number stays a string: "1A"
                return value == str(want).strip() and not re.fullmatch(r'[-+]?[\d.]+([eE][-+]?\d+)?', value)
            return math.isclose(float(value), float(want), rel_tol=1e-15)
        if vr in NUMBER:
            if isinstance(value, str):
                return vr in ('SV', 'UV') and int(value) == want or not math.isfinite(want)
            return value == want if vr != 'FL' else struct.pack('<f', value) == struct.pack('<f', want)
        want = str(want)
        if '\ufffd' in want or (not charset and not plain(want)):
            return True
        value = '' if value is None else value
        if vr in WHOLE:
            return value == want.rstrip(' \0')
        return value == (want.rstrip(' \0') if vr == 'UC' else want.strip(' \0'))


@pytest.mark.parametrize('path', FILES, ids=lambda p: p.name)
def test_json_equals_pydicom(path, json_of):
    dataset, syntax = reference(path)
    text = json_of[path.name]
    seen = json.loads(text, object_pairs_hook=no_doubles)
    assert 'error' not in seen
    comparison = Comparison(syntax)
    comparison.dataset(dataset, seen, '', None)
    assert comparison.compared > 5
    assert not comparison.faults, '\n'.join(comparison.faults[:20])


def no_doubles(pairs):
    keys = [k for k, _ in pairs]
    assert len(keys) == len(set(keys)), 'a key twice in one object'
    return dict(pairs)


@pytest.mark.parametrize('path', FILES, ids=lambda p: p.name)
def test_frames_equal_pydicom(path, frames_of):
    dataset, syntax = reference(path)
    line = frames_of[path.name].split(' ')
    if not any(k in dataset for k in ('PixelData', 'FloatPixelData', 'DoubleFloatPixelData')):
        assert line[:2] == ['error', 'NOT_FOUND']
        return
    if not dataset.get('PixelData', b'x'):
        assert line[0] == 'error'
        return
    count = int(re.match(r'\d+', str(dataset.get('NumberOfFrames', 1) or 1)).group())
    assert int(line[0]) == count, ' '.join(line)
    if syntax in NATIVE:
        wanted = native_frames(dataset, count)
    else:
        wanted = list(generate_pixel_data_frame(dataset.PixelData, count))
    assert line[1:] == ['%d:%08x' % (len(f), zlib.crc32(f)) for f in wanted]


def native_frames(dataset, count):
    pixels = next(dataset[k].value for k in ('PixelData', 'FloatPixelData', 'DoubleFloatPixelData') if k in dataset)
    samples = dataset.SamplesPerPixel
    if dataset.get('PhotometricInterpretation') == 'YBR_FULL_422':
        samples = 2
    bits = dataset.Rows * dataset.Columns * samples * dataset.BitsAllocated
    return [pixels[i * bits // 8:((i + 1) * bits + 7) // 8] for i in range(count)]
