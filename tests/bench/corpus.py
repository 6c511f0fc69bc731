"""What the corpus of ../shared/bench holds, and the addresses of it that are asked for."""
import json

from generators import CORPUS

INSTANCES_PER_STUDY = 10  # of the light ones


class Corpus:
    """light: studies that are loaded and whose UIDs are known; the manifest lists each twentieth of all."""

    def __init__(self, instances):
        manifest = json.loads((CORPUS / "manifest.json").read_text())
        loaded = instances // INSTANCES_PER_STUDY
        self.light = [study for study in manifest["light"] if int(study["pid"].rpartition("-")[2]) < loaded]
        self.large_ct = manifest["ct"][0]  # one series of 300
        self.multi_frame = manifest["big"][0]

    def series(self, study=None, salt=None):
        """The path of a study's first series; that of the 300 CTs unless told."""
        study = study or self.large_ct
        path = f"/studies/{study['study']}/series/{study['series'][0]}"
        return path.replace(".999.100000.", f".999.{salt}.") if salt else path

    def instances(self):
        uid = self.large_ct["series"][0]
        return [f"{self.series()}/instances/{uid}.{number}" for number in range(1, 301)]

    def frames_of_multi_frame(self):
        path = f"{self.series(self.multi_frame)}/instances/{self.multi_frame['inst']}"
        return [f"{path}/frames/{number}" for number in range(1, 400, 37)]

    def questions(self):
        """(name, title, paths) of QIDO-RS."""
        def studies(*queries):
            return [f"/studies?{query}" for query in queries]

        dates = [f"20{year}{month:02d}" for year in (15, 18, 21) for month in (2, 6, 11)]
        return [
            ("studies_limit50", "studies, limit=50", studies("limit=50")),
            ("pid_exact", "PatientID", studies(*(f"PatientID={study['pid']}" for study in self.light))),
            ("name_wild", "PatientName=Smi*, limit=50",
             studies(*(f"PatientName={name}*&limit=50" for name in ("Smi", "Jen", "Ros", "Kow", "Brow")))),
            ("date_range", "a month of StudyDate, limit=100",
             studies(*(f"StudyDate={month}01-{month}28&limit=100" for month in dates))),
            ("modality", "ModalitiesInStudy, limit=50",
             studies("ModalitiesInStudy=US&limit=50", "ModalitiesInStudy=MR&limit=50")),
            ("page", "pages at 0, 100 and 500, limit=100",
             studies(*(f"limit=100&offset={offset}" for offset in (0, 100, 500)))),
            ("series", "series of a study", [f"/studies/{study['study']}/series" for study in self.light]),
            ("instances", "instances of a small series",
             [f"{self.series(study)}/instances" for study in self.light]),
            ("instances300", "instances of a series of 300", [f"{self.series()}/instances"]),
        ]
