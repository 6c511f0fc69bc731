"""An archive with a past: images by every way in, deletions, undeletions, holds, conflicts and what was decided
about them, compaction, and more of it afterwards.

`names()` has the UIDs of all of it, for questions.
"""
import pydicom
from dimse_client import Association
from past import LONG, ROOT, make
from stack import wait_until
from test_archive import dataset_of

# What study is for what; the numbers of make().
INTERLEAVED, NAMELESS, NAMES, DIFFERENT, DELETED, RETURNED, THINNED, HELD, RELEASED, TIES = range(1, 11)
OPEN, KEPT, REPLACED, BOTH, MOVED, SETTLED_AGAIN, TWICE, RESENT, REPEATED, LATE = range(11, 21)


def uids(study, series=None, instance=None):
    """Of a made image: the arguments of delete() and undelete()."""
    uid = f"{ROOT}.{study}"
    return [uid] + [f"{uid}.{series}"] * (series is not None) + [f"{uid}.{series}.{instance}"] * (instance is not None)


def interleaved():
    """Of two associations, which send turn and turn about; numbers fall, one has none."""
    images = [make(INTERLEAVED, series, 7 - instance, StudyDescription="Turn and turn about",
                   InstanceNumber=None if instance == 4 else 7 - instance, BodyPartExamined="CHEST",
                   SeriesDescription=f"Series {series}", ProtocolName="Thorax Standard")
              for instance in range(1, 7) for series in (1, 2)]
    return images[0::2], images[1::2]


def described():
    """Names and texts in several scripts, dates and times at the ends of ranges, requests, no attributes at all."""
    request = pydicom.Dataset()
    request.RequestedProcedureID, request.ScheduledProcedureStepID = "RP-7", "SPS-9"
    return [
        make(NAMELESS, PatientName="", PatientID="", StudyDate="", StudyTime="", AccessionNumber="", StudyID="",
             SeriesNumber=None, InstanceNumber=None, Modality="OT"),
        make(NAMES, PatientName="Yamada^Tarou=山田^太郎=やまだ^たろう", StudyDate="19991231", StudyTime="235959.5",
             ReferringPhysicianName="Šimůnek^Jiří", PatientSex="M", PatientBirthDate="19600229"),
        make(NAMES, 2, PatientName="Yamada^Tarou=山田^太郎=やまだ^たろう", Modality="PR", StudyDate="19991231",
             StudyTime="235959.5", ContentLabel="MARKED", ContentDescription="Überblick", SeriesDate="20000101",
             SeriesTime="000001"),
        make(TIES, PatientName="Müller-Lüdenscheidt^Jürgen^von", StudyDescription="Schädel nativ", StudyTime="0800",
             RequestAttributesSequence=[request], PerformedProcedureStepStartDate="20240301", PatientSex="F",
             PerformedProcedureStepStartTime="081530", StationName="STATION 1", InstitutionName="Städtisches Klinikum"),
    ] + [make(TIES, series, instance, SeriesNumber=3, InstanceNumber=instance // 2, Modality="MR",
              PatientName="Müller-Lüdenscheidt^Jürgen^von", SeriesDescription="T1 % _ \\ 100")
         for series in (4, 3, 2) for instance in (3, 1, 2)]


def different():
    """Each says something else of its study and series; the first received counts."""
    return [make(DIFFERENT, 1, instance, PatientName=f"Different^{'ABC'[instance - 1]}", StudyDate=f"2020010{instance}",
                 StudyDescription=f"Described {instance}", SeriesDescription=f"Part {instance}",
                 PatientID=f"DIFFERENT-{instance}") for instance in (1, 2, 3)]


def plain(*studies):
    return [make(study, series, instance) for study in studies for series in (1, 2) for instance in (1, 2, 3)]


def aside(study, series=1, instance=1, number=1, **attributes):
    """The same SOP Instance UID with other bytes."""
    return make(study, series, instance, pixels=number, StudyDescription=f"Aside {number}", **attributes)


def fill(past):
    """All ways in, at the same time from two modalities."""
    files = list(past.real.values())
    past.store(*files[0::3], calling="SCANNER")
    past.stow(*files[1::3])
    past.load(*files[2::3], *files[1:40:3])
    context = [(make(1).sop_class, [make(1).syntax])]
    with past.arriving(12), \
            Association(past.stack.dicom_port, context, calling="LEFT") as left, \
            Association(past.stack.dicom_port, context, calling="RIGHT") as right:
        for pair in zip(*interleaved()):
            for association, image in zip((left, right), pair):
                assert association.store(image.sop_class, image.instance, dataset_of(image.file)).status == 0
        left.release()
        right.release()
    past.store(*described(), *different(), *plain(DELETED, RETURNED, THINNED, HELD, RELEASED, TWICE))
    past.stow(*plain(OPEN, KEPT, REPLACED, BOTH, MOVED))
    past.load(*plain(SETTLED_AGAIN, RESENT, REPEATED, LATE))


def quarrel(past):
    """The same instances again: the same bytes, other bytes, in another study."""
    past.store(*plain(REPEATED), calling="LEFT")
    past.stow(*plain(REPEATED))
    past.store(aside(OPEN), aside(OPEN, 2, 3), aside(KEPT), aside(REPLACED), aside(BOTH), aside(SETTLED_AGAIN),
               calling="LEFT")
    past.store(aside(OPEN, number=2), aside(KEPT, number=2), aside(REPLACED, number=2), calling="RIGHT")
    past.store(make(MOVED, 1, 1, StudyInstanceUID=uids(LATE)[0], SeriesInstanceUID=uids(LATE, 9)[1]))


def decide(past):
    past.resolve("keep", uids(KEPT, 1, 1)[2])
    past.resolve("replace", uids(REPLACED, 1, 1)[2], "RIGHT")
    past.resolve("both", uids(BOTH, 1, 1)[2])
    past.resolve("keep", uids(SETTLED_AGAIN, 1, 1)[2])
    past.store(aside(SETTLED_AGAIN, number=3), calling="LEFT")
    for study, reason in ((HELD, "court file 12"), (RELEASED, "for a while"), (TIES, "first"), (TIES, "study “X”")):
        past.api("PUT", f"/studies/{uids(study)[0]}/hold", reason=reason)
    past.api("DELETE", f"/studies/{uids(RELEASED)[0]}/hold")


def erase(past):
    """What compaction will remove, and what comes back before it can."""
    past.delete(*uids(DIFFERENT, 1, 1))  # the study now says what its second image says
    past.delete(*uids(DELETED))
    past.delete(*uids(THINNED, 1))
    past.delete(*uids(THINNED, 2, 2))
    past.delete(*uids(RESENT))
    past.store(*plain(RESENT)[:4], calling="RIGHT")
    past.delete(*uids(RETURNED, 1, 1))
    past.delete(*uids(RETURNED))
    assert past.undelete(*uids(RETURNED)) == {"instances": 5, "gone": 0}
    past.delete(*uids(TWICE, 2))
    assert past.undelete(*uids(TWICE, 2)) == {"instances": 3, "gone": 0}
    past.delete(*uids(REPEATED, 1, 2))  # with all its copies
    for name in (REAL["cut"], "pydicom__test_files_rtplan"):
        image = past.real[name]
        past.delete(image.study, image.series, image.instance)
    past.delete(past.real[REAL["gone"]].study)


def is_gone(past, *images):
    return not any(past.holds(dataset_of(image.file)) for image in images)


def compact(past):
    past.restart()
    dead = [*plain(DELETED), make(THINNED, 1, 1), past.real[REAL["cut"]], aside(KEPT, number=2), make(REPLACED, 1, 1)]
    wait_until(lambda: is_gone(past, *dead), 40, lambda: f"deleted bytes are still there: {[i.instance for i in dead if not is_gone(past, i)]}")
    assert not is_gone(past, make(THINNED, 2, 1)) and not is_gone(past, *described()[:1])
    answer = past.undelete(*uids(DELETED))
    assert answer == {"instances": 0, "gone": 6}


def go_on(past):
    """On packs that were compacted; nothing is compacted any more."""
    past.delete(*uids(LATE, 1, 2))
    past.delete(*uids(LATE, 2))
    past.delete(*uids(TWICE))
    assert past.undelete(*uids(TWICE)) == {"instances": 6, "gone": 0}
    past.delete(*uids(RELEASED))
    past.store(*plain(RELEASED)[4:], calling="LEFT")
    past.delete(*uids(NAMES, 2))
    past.delete(*uids(DIFFERENT, 1, 2))
    past.store(aside(LATE), aside(TWICE), aside(RETURNED, 1, 2), calling="LEFT")
    past.resolve("replace", uids(TWICE, 1, 1)[2])
    past.resolve("both", uids(RETURNED, 1, 2)[2])
    past.api("PUT", f"/studies/{uids(INTERLEAVED)[0]}/hold", reason="a second one")
    past.store(make(HELD, 3), calling="RIGHT")
    past.load(make(BOTH, 3))
    past.stow(make(BOTH, 3, 2))


def live(past):
    fill(past)
    quarrel(past)
    decide(past)
    erase(past)
    compact(past)
    past.restart(**LONG)
    go_on(past)


# ---- names for it ---------------------------------------------------------------------------------

REAL = {
    "ct": "dicomParser__testImages_CT1_UNC_implicit_little_endian",
    "cut": "dicom_test_files__J2KR_CT1_J2KR",  # deleted; others of its series are there
    "doe": "highdicom__test_files_seg_image_ct_binary",
    "dose": "pydicom__test_files_rtdose",
    "emri": "pydicom_data__data_emri_small",
    "gone": "pydicom__test_files_MR_small",  # its study is deleted
    "mixed": "highdicom__test_files_ct_image",
    "perfusion": "dicomParser__multi_frame_CT0012_not_fragmented_no_bot_rle",
    "report": "dicomParser__deflate_report_dfl",
    "sc": "pydicom_data__data_SC_rgb",
    "seg": "pydicom_data__data_liver_expb",
    "sm": "highdicom__test_files_sm_image_dots",
    "us": "pydicom_data__data_OBXXXX1A",
    "xa": "dicom_test_files__J2KI_XA1_J2KI",
}
MADE = {"interleaved": INTERLEAVED, "nameless": NAMELESS, "names": NAMES, "different": DIFFERENT, "deleted": DELETED,
        "returned": RETURNED, "thinned": THINNED, "held": HELD, "released": RELEASED, "ties": TIES, "open": OPEN,
        "kept": KEPT, "replaced": REPLACED, "both": BOTH, "moved": MOVED, "settled_again": SETTLED_AGAIN, "twice": TWICE,
        "resent": RESENT, "repeated": REPEATED, "late": LATE}


def names(past):
    """What stands in braces in questions: of a made study its UID, of a real file its image."""
    return {**{name: uids(study)[0] for name, study in MADE.items()},
            **{name: past.real[file] for name, file in REAL.items()}}
