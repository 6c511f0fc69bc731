"""From socket to screen with peers that we did not write: DCMTK, pynetdicom, dicomweb-client."""
import subprocess
from io import BytesIO

import numpy as np
import pydicom
import pytest
from dicomweb_client.api import DICOMwebClient
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian, generate_uid
from pynetdicom import AE, build_context
from stack import wait_until

CT = "1.2.840.10008.5.1.4.1.1.2"
VERIFICATION = "1.2.840.10008.1.1"


def make_ct(**attributes):
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.is_little_endian, ds.is_implicit_VR = True, False
    ds.SpecificCharacterSet = "ISO_IR 192"
    ds.SOPClassUID, ds.SOPInstanceUID = CT, generate_uid()
    ds.StudyInstanceUID, ds.SeriesInstanceUID = generate_uid(), generate_uid()
    ds.PatientName, ds.PatientID, ds.Modality = "Peer^Test", "PEER-1", "CT"
    ds.StudyDate, ds.StudyTime, ds.AccessionNumber, ds.StudyID = "20240229", "120000", "A1", "1"
    ds.SeriesNumber, ds.InstanceNumber = 1, 1
    ds.Rows, ds.Columns, ds.SamplesPerPixel, ds.PhotometricInterpretation = 16, 16, 1, "MONOCHROME2"
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 12, 11, 0
    ds.PixelData = np.arange(256, dtype="<u2").tobytes()
    ds["PixelData"].VR = "OW"
    for name, value in attributes.items():
        setattr(ds, name, value)
    ds.file_meta.MediaStorageSOPClassUID, ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPClassUID, ds.SOPInstanceUID
    return ds


def part10(ds):
    out = BytesIO()
    pydicom.dcmwrite(out, ds, write_like_original=False)
    return out.getvalue()


def dataset_bytes(file):
    """What follows the file meta information."""
    return file[144 + int.from_bytes(file[140:144], "little"):]


def retrieve(web, stack, ds):
    return web.get(f"{stack.web}/studies/{ds.StudyInstanceUID}/series/{ds.SeriesInstanceUID}/instances/{ds.SOPInstanceUID}",
                   headers={"Accept": "application/dicom; transfer-syntax=*"}, timeout=30)


@pytest.fixture
def client(stack, web):
    return DICOMwebClient(stack.web, session=web)


def associate(stack, *contexts):
    association = AE(ae_title="PEER").associate("127.0.0.1", stack.dicom_port, contexts=list(contexts), ae_title="ZPACS")
    assert association.is_established
    return association


# ---- DIMSE ----------------------------------------------------------------------------------------

def test_dcmtk_echo(stack):
    subprocess.run(["echoscu", "-aec", "ZPACS", "127.0.0.1", str(stack.dicom_port)], check=True, timeout=30)


def test_pynetdicom_echo(stack):
    association = associate(stack, build_context(VERIFICATION))
    assert association.send_c_echo().Status == 0
    association.release()


def test_dcmtk_store_comes_back_as_sent(stack, web, tmp_path):
    ds = make_ct()
    (tmp_path / "ct.dcm").write_bytes(part10(ds))
    subprocess.run(["storescu", "-xe", "-aec", "ZPACS", "127.0.0.1", str(stack.dicom_port), tmp_path / "ct.dcm"], check=True, timeout=60)
    wait_until(lambda: retrieve(web, stack, ds).status_code == 200)
    assert dataset_bytes(retrieve(web, stack, ds).content) == dataset_bytes(part10(ds))


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian], ids=lambda uid: uid.name)
def test_pynetdicom_store_comes_back_as_sent(stack, web, syntax):
    ds = make_ct()
    ds.file_meta.TransferSyntaxUID = syntax
    ds.is_implicit_VR = syntax == ImplicitVRLittleEndian
    association = associate(stack, build_context(CT, syntax))
    assert association.send_c_store(ds).Status == 0
    association.release()
    wait_until(lambda: retrieve(web, stack, ds).status_code == 200)
    answer = pydicom.dcmread(BytesIO(retrieve(web, stack, ds).content))
    assert answer.file_meta.TransferSyntaxUID == syntax
    assert dataset_bytes(retrieve(web, stack, ds).content) == dataset_bytes(part10(ds))


def test_private_sop_class_is_stored(stack, web):
    private = "1.2.826.0.1.3680043.10.1338.77.1"
    ds = make_ct(SOPClassUID=private)
    association = associate(stack, build_context(private, ExplicitVRLittleEndian))
    assert association.send_c_store(ds).Status == 0
    association.release()
    wait_until(lambda: retrieve(web, stack, ds).status_code == 200)


# ---- DICOMweb -------------------------------------------------------------------------------------

def test_dicomweb_client_round_trip(stack, client):
    ds = make_ct(PatientID="PEER-2", StudyDescription="Über den Kamm")
    client.store_instances([ds])
    found = client.search_for_studies(search_filters={"PatientID": "PEER-2"})
    assert [s["0020000D"]["Value"][0] for s in found] == [ds.StudyInstanceUID]
    series = client.search_for_series(ds.StudyInstanceUID)
    assert [s["0020000E"]["Value"][0] for s in series] == [ds.SeriesInstanceUID]
    metadata = client.retrieve_series_metadata(ds.StudyInstanceUID, ds.SeriesInstanceUID)
    assert len(metadata) == 1 and metadata[0]["00081030"]["Value"] == ["Über den Kamm"]
    back = client.retrieve_instance(ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.SOPInstanceUID)
    assert back.PixelData == ds.PixelData and back.PatientName == ds.PatientName
    (frame,) = client.retrieve_instance_frames(ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.SOPInstanceUID, [1])
    assert frame == ds.PixelData
    client.delete_study(ds.StudyInstanceUID)
    assert client.search_for_studies(search_filters={"PatientID": "PEER-2"}) == []


def test_bulk_data_addresses_lead_back_through_the_proxy(stack, web, client):
    ds = make_ct()
    client.store_instances([ds])
    (metadata,) = client.retrieve_series_metadata(ds.StudyInstanceUID, ds.SeriesInstanceUID)
    address = metadata["7FE00010"]["BulkDataURI"]
    if not address.startswith("http"):
        address = f"{stack.web}/studies/{ds.StudyInstanceUID}/{address}" if not address.startswith("/") else stack.base + address
    assert address.startswith(stack.base + "/dicom-web/")
    answer = web.get(address, headers={"Accept": "application/octet-stream"}, timeout=30)
    assert answer.status_code == 200 and answer.content == ds.PixelData


def test_every_good_file_by_stow_comes_back_byte_for_byte(stack, web, shared_data):
    files = [p for p in sorted((shared_data / "good").iterdir()) if p.is_file()]
    seen, wrong = set(), []
    for path in files:
        content = path.read_bytes()
        try:
            ds = pydicom.dcmread(path, stop_before_pixels=True)
            uid = (ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.SOPInstanceUID)
        except Exception:
            continue
        if content[128:132] != b"DICM" or content[132:136] != b"\x02\0\0\0" or uid[2] in seen:
            continue
        seen.add(uid[2])
        body = b"--part\r\nContent-Type: application/dicom\r\n\r\n" + content + b"\r\n--part--\r\n"
        stored = web.post(stack.web + "/studies", data=body, timeout=60,
                          headers={"Content-Type": 'multipart/related; type="application/dicom"; boundary=part'})
        if stored.status_code not in (200, 202):
            wrong.append((path.name, stored.status_code, stored.text[:200]))
            continue
        back = web.get("{}/studies/{}/series/{}/instances/{}".format(stack.web, *uid),
                       headers={"Accept": "application/dicom; transfer-syntax=*"}, timeout=60)
        if back.status_code != 200 or dataset_bytes(back.content) != dataset_bytes(content):
            wrong.append((path.name, back.status_code, "other bytes" if back.status_code == 200 else back.text[:200]))
    assert len(seen) > 200
    assert not wrong, "\n".join(map(str, wrong))
