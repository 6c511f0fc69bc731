"""Writes two small studies that nobody has to bring: make_data.py FOLDER

ct-1.dcm ... ct-8.dcm   a phantom, 128x128, a volume; pdf.dcm   an encapsulated report in its study
"""
import sys
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

ROOT = "1.2.826.0.1.3680043.10.1338.7"
PDF = b"""%PDF-1.4
1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj
2 0 obj<</Type/Pages/Kids[3 0 R]/Count 1>>endobj
3 0 obj<</Type/Page/Parent 2 0 R/MediaBox[0 0 400 200]/Contents 4 0 R/Resources<</Font<</F1 5 0 R>>>>>>endobj
4 0 obj<</Length 60>>stream
BT /F1 18 Tf 20 120 Td (Synthetic report, no real patient) Tj ET
endstream endobj
5 0 obj<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>endobj
trailer<</Root 1 0 R>>
%%EOF
"""


def instance(study, sop_class, series, number, modality):
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = sop_class
    meta.MediaStorageSOPInstanceUID = f"{ROOT}.{study}.{series}.{number}"
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.ImplementationClassUID = f"{ROOT}.99"
    ds = FileDataset(None, {}, file_meta=meta, preamble=b"\0" * 128)
    ds.is_little_endian, ds.is_implicit_VR = True, False
    ds.SpecificCharacterSet = "ISO_IR 192"
    ds.SOPClassUID, ds.SOPInstanceUID = sop_class, meta.MediaStorageSOPInstanceUID
    ds.StudyInstanceUID, ds.SeriesInstanceUID = f"{ROOT}.{study}", f"{ROOT}.{study}.{series}"
    ds.StudyDate = ds.SeriesDate = ds.ContentDate = "20240115"
    ds.StudyTime = ds.SeriesTime = ds.ContentTime = "101500"
    ds.Modality, ds.Manufacturer = modality, "Synthetic"
    ds.PatientName, ds.PatientID = "Phantom^Häuser", "E2E-1"
    ds.PatientBirthDate, ds.PatientSex = "19700101", "O"
    ds.StudyDescription, ds.SeriesDescription = "End to end", f"{modality} series"
    ds.StudyID, ds.AccessionNumber, ds.ReferringPhysicianName = "1", "E2E", ""
    ds.SeriesNumber, ds.InstanceNumber = series, number
    return ds


def ct(number, slices):
    ds = instance(1, "1.2.840.10008.5.1.4.1.1.2", 1, number, "CT")
    ds.FrameOfReferenceUID = f"{ROOT}.1.0"
    ds.PatientPosition, ds.ImageType = "HFS", ["ORIGINAL", "PRIMARY", "AXIAL"]
    ds.PositionReferenceIndicator = ""
    y, x = np.mgrid[-1:1:128j, -1:1:128j]
    z = (number - 0.5) / slices * 2 - 1
    radius = np.sqrt(x * x + y * y + (0.6 * z) ** 2)
    pixels = np.where(radius < 0.85, 900, -1000)                     # bone
    pixels = np.where(radius < 0.78, 40 + 60 * x + 30 * y, pixels)   # tissue, a slow gradient
    pixels = np.where((x - 0.3) ** 2 + y ** 2 < 0.03, -50, pixels)
    ds.Rows, ds.Columns = pixels.shape
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 16, 15, 1
    ds.PixelSpacing, ds.SliceThickness = [2.0, 2.0], 4.0
    ds.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    ds.ImagePositionPatient = [-128.0, -128.0, 4.0 * number]
    ds.RescaleIntercept, ds.RescaleSlope, ds.RescaleType = 0, 1, "HU"
    ds.WindowCenter, ds.WindowWidth = 50, 400
    ds.PixelData = pixels.astype("<i2").tobytes()
    ds["PixelData"].VR = "OW"
    return ds


def pdf():
    ds = instance(2, "1.2.840.10008.5.1.4.1.1.104.1", 1, 1, "DOC")
    ds.ConversionType, ds.BurnedInAnnotation = "WSD", "NO"
    ds.AcquisitionDateTime, ds.DocumentTitle = "", "Synthetic report"
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = "18748-4", "LN", "Diagnostic Imaging Report"
    ds.ConceptNameCodeSequence = [code]
    ds.MIMETypeOfEncapsulatedDocument = "application/pdf"
    ds.EncapsulatedDocument = PDF + b"\0" * (len(PDF) % 2)
    return ds


def main():
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(1, 9):
        ct(number, 8).save_as(folder / f"ct-{number}.dcm", write_like_original=False)
    pdf().save_as(folder / "pdf.dcm", write_like_original=False)


if __name__ == "__main__":
    main()
