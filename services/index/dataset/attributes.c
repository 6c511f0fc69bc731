#include "index/dataset/attributes.h"

#define T(group, element) ((uint32_t)(group) << 16 | (element))
#define KEPT(group, element, level, match, returned, vr, column)                                   \
    {                                                                                              \
        T(group, element), 0, LEVEL_##level, MATCH_##match, RETURN_##returned, vr, column, false   \
    }
#define WITHIN(sequence, group, element, level, match, vr, column)                                 \
    {                                                                                              \
        T(group, element), sequence, LEVEL_##level, MATCH_##match, RETURN_ASKED, vr, column, false \
    }
#define COMPUTED(group, element, level, match, vr, column)                                         \
    {                                                                                              \
        T(group, element), 0, LEVEL_##level, MATCH_##match, RETURN_ALWAYS, vr, column, true        \
    }

/* clang-format off */
const attribute_t attributes[] = {
    KEPT(0x0008, 0x0008, INSTANCE, NONE, ASKED, "CS", NULL),                       /* ImageType */
    COMPUTED(0x0008, 0x0016, INSTANCE, UID, "UI", "sop_class_uid"),                /* SOPClassUID */
    COMPUTED(0x0008, 0x0018, INSTANCE, UID, "UI", "sop_instance_uid"),             /* SOPInstanceUID */
    KEPT(0x0008, 0x0020, STUDY, DATE, ALWAYS, "DA", "study_date"),                 /* StudyDate */
    KEPT(0x0008, 0x0021, SERIES, DATE, ASKED, "DA", "series_date"),                /* SeriesDate */
    KEPT(0x0008, 0x0022, INSTANCE, DATE, ASKED, "DA", "acquisition_date"),         /* AcquisitionDate */
    KEPT(0x0008, 0x0023, INSTANCE, DATE, ASKED, "DA", "content_date"),             /* ContentDate */
    KEPT(0x0008, 0x002A, INSTANCE, NONE, ASKED, "DT", NULL),                       /* AcquisitionDateTime */
    KEPT(0x0008, 0x0030, STUDY, TIME, ALWAYS, "TM", "study_time"),                 /* StudyTime */
    KEPT(0x0008, 0x0031, SERIES, TIME, ASKED, "TM", "series_time"),                /* SeriesTime */
    KEPT(0x0008, 0x0032, INSTANCE, TIME, ASKED, "TM", "acquisition_time"),         /* AcquisitionTime */
    KEPT(0x0008, 0x0033, INSTANCE, TIME, ASKED, "TM", "content_time"),             /* ContentTime */
    KEPT(0x0008, 0x0050, STUDY, EXACT, ALWAYS, "SH", "accession_number"),          /* AccessionNumber */
    KEPT(0x0008, 0x0051, STUDY, NONE, ASKED, "SQ", NULL),                          /* IssuerOfAccessionNumberSequence */
    COMPUTED(0x0008, 0x0056, STUDY, NONE, "CS", NULL),                             /* InstanceAvailability */
    KEPT(0x0008, 0x0060, SERIES, EXACT, ALWAYS, "CS", "modality"),                 /* Modality */
    COMPUTED(0x0008, 0x0061, STUDY, MODALITIES, "CS", NULL),                       /* ModalitiesInStudy */
    KEPT(0x0008, 0x0070, SERIES, TEXT, ASKED, "LO", "manufacturer"),               /* Manufacturer */
    KEPT(0x0008, 0x0080, SERIES, TEXT, ASKED, "LO", "institution_name"),           /* InstitutionName */
    KEPT(0x0008, 0x0090, STUDY, NAME, ALWAYS, "PN", NULL),                         /* ReferringPhysicianName */
    KEPT(0x0008, 0x0201, STUDY, EXACT, KNOWN, "SH", "timezone_offset"),            /* TimezoneOffsetFromUTC */
    KEPT(0x0008, 0x1010, SERIES, EXACT, ASKED, "SH", "station_name"),              /* StationName */
    KEPT(0x0008, 0x1030, STUDY, TEXT, KNOWN, "LO", "study_description"),           /* StudyDescription */
    KEPT(0x0008, 0x1032, STUDY, NONE, ASKED, "SQ", NULL),                          /* ProcedureCodeSequence */
    KEPT(0x0008, 0x103E, SERIES, TEXT, KNOWN, "LO", "series_description"),         /* SeriesDescription */
    KEPT(0x0008, 0x1040, SERIES, TEXT, ASKED, "LO", "department_name"),            /* InstitutionalDepartmentName */
    KEPT(0x0008, 0x1050, SERIES, NONE, ASKED, "PN", NULL),                         /* PerformingPhysicianName */
    KEPT(0x0008, 0x1060, STUDY, NAME, ASKED, "PN", NULL),                          /* NameOfPhysiciansReadingStudy */
    KEPT(0x0008, 0x1070, SERIES, NONE, ASKED, "PN", NULL),                         /* OperatorsName */
    KEPT(0x0008, 0x1090, SERIES, TEXT, ASKED, "LO", "model_name"),                 /* ManufacturerModelName */
    KEPT(0x0010, 0x0010, STUDY, NAME, ALWAYS, "PN", NULL),                         /* PatientName */
    KEPT(0x0010, 0x0020, STUDY, EXACT, ALWAYS, "LO", "patient_id"),                /* PatientID */
    KEPT(0x0010, 0x0021, STUDY, EXACT, KNOWN, "LO", "patient_id_issuer"),          /* IssuerOfPatientID */
    KEPT(0x0010, 0x0030, STUDY, DATE, ALWAYS, "DA", "patient_birth_date"),         /* PatientBirthDate */
    KEPT(0x0010, 0x0032, STUDY, NONE, ASKED, "TM", NULL),                          /* PatientBirthTime */
    KEPT(0x0010, 0x0040, STUDY, EXACT, ALWAYS, "CS", "patient_sex"),               /* PatientSex */
    KEPT(0x0010, 0x1000, STUDY, NONE, ASKED, "LO", NULL),                          /* OtherPatientIDs */
    KEPT(0x0010, 0x1001, STUDY, NONE, ASKED, "PN", NULL),                          /* OtherPatientNames */
    KEPT(0x0010, 0x1010, STUDY, EXACT, ASKED, "AS", "patient_age"),                /* PatientAge */
    KEPT(0x0010, 0x1020, STUDY, NONE, ASKED, "DS", NULL),                          /* PatientSize */
    KEPT(0x0010, 0x1030, STUDY, NONE, ASKED, "DS", NULL),                          /* PatientWeight */
    KEPT(0x0010, 0x4000, STUDY, NONE, ASKED, "LT", NULL),                          /* PatientComments */
    KEPT(0x0018, 0x0015, SERIES, EXACT, ASKED, "CS", "body_part"),                 /* BodyPartExamined */
    KEPT(0x0018, 0x1030, SERIES, TEXT, ASKED, "LO", "protocol_name"),              /* ProtocolName */
    KEPT(0x0018, 0x5100, SERIES, EXACT, ASKED, "CS", "patient_position"),          /* PatientPosition */
    COMPUTED(0x0020, 0x000D, STUDY, UID, "UI", "study_instance_uid"),              /* StudyInstanceUID */
    COMPUTED(0x0020, 0x000E, SERIES, UID, "UI", "series_instance_uid"),            /* SeriesInstanceUID */
    KEPT(0x0020, 0x0010, STUDY, EXACT, ALWAYS, "SH", "study_id"),                  /* StudyID */
    KEPT(0x0020, 0x0011, SERIES, NUMBER, ALWAYS, "IS", "series_number"),           /* SeriesNumber */
    KEPT(0x0020, 0x0012, INSTANCE, NUMBER, ASKED, "IS", "acquisition_number"),     /* AcquisitionNumber */
    KEPT(0x0020, 0x0013, INSTANCE, NUMBER, ALWAYS, "IS", "instance_number"),       /* InstanceNumber */
    KEPT(0x0020, 0x0052, SERIES, UID, ASKED, "UI", "frame_of_reference_uid"),      /* FrameOfReferenceUID */
    KEPT(0x0020, 0x0060, SERIES, EXACT, ASKED, "CS", "laterality"),                /* Laterality */
    COMPUTED(0x0020, 0x1206, STUDY, NUMBER, "IS", "series_count"),                 /* NumberOfStudyRelatedSeries */
    COMPUTED(0x0020, 0x1208, STUDY, NUMBER, "IS", "instance_count"),               /* NumberOfStudyRelatedInstances */
    COMPUTED(0x0020, 0x1209, SERIES, NUMBER, "IS", "instance_count"),              /* NumberOfSeriesRelatedInstances */
    KEPT(0x0028, 0x0002, INSTANCE, NONE, ASKED, "US", NULL),                       /* SamplesPerPixel */
    KEPT(0x0028, 0x0004, INSTANCE, EXACT, ASKED, "CS", "photometric"),             /* PhotometricInterpretation */
    KEPT(0x0028, 0x0008, INSTANCE, NUMBER, KNOWN, "IS", "number_of_frames"),       /* NumberOfFrames */
    KEPT(0x0028, 0x0010, INSTANCE, NUMBER, KNOWN, "US", "image_rows"),             /* Rows */
    KEPT(0x0028, 0x0011, INSTANCE, NUMBER, KNOWN, "US", "image_columns"),          /* Columns */
    KEPT(0x0028, 0x0100, INSTANCE, NUMBER, KNOWN, "US", "bits_allocated"),         /* BitsAllocated */
    KEPT(0x0028, 0x0101, INSTANCE, NONE, ASKED, "US", NULL),                       /* BitsStored */
    KEPT(0x0032, 0x1060, STUDY, TEXT, ASKED, "LO", "procedure_description"),       /* RequestedProcedureDescription */
    WITHIN(T(0x0040, 0x0275), 0x0040, 0x0009, SERIES, EXACT, "SH", "scheduled_step_id"), /* ScheduledProcedureStepID */
    KEPT(0x0040, 0x0244, SERIES, DATE, KNOWN, "DA", "performed_date"),             /* PerformedProcedureStepStartDate */
    KEPT(0x0040, 0x0245, SERIES, TIME, KNOWN, "TM", "performed_time"),             /* PerformedProcedureStepStartTime */
    KEPT(0x0040, 0x0253, SERIES, EXACT, ASKED, "SH", "performed_step_id"),         /* PerformedProcedureStepID */
    KEPT(0x0040, 0x0254, SERIES, TEXT, ASKED, "LO", "performed_description"),      /* PerformedProcedureStepDescription */
    KEPT(0x0040, 0x0275, SERIES, NONE, KNOWN, "SQ", NULL),                         /* RequestAttributesSequence */
    WITHIN(T(0x0040, 0x0275), 0x0040, 0x1001, SERIES, EXACT, "SH", "requested_procedure_id"), /* RequestedProcedureID */
    KEPT(0x0040, 0xA043, INSTANCE, NONE, ASKED, "SQ", NULL),                       /* ConceptNameCodeSequence */
    KEPT(0x0040, 0xA491, INSTANCE, EXACT, ASKED, "CS", "completion_flag"),         /* CompletionFlag */
    KEPT(0x0040, 0xA493, INSTANCE, EXACT, ASKED, "CS", "verification_flag"),       /* VerificationFlag */
    KEPT(0x0042, 0x0010, INSTANCE, TEXT, ASKED, "ST", "document_title"),           /* DocumentTitle */
    KEPT(0x0070, 0x0080, INSTANCE, EXACT, ASKED, "CS", "content_label"),           /* ContentLabel */
    KEPT(0x0070, 0x0081, INSTANCE, TEXT, ASKED, "LO", "content_description"),      /* ContentDescription */
    KEPT(0x0070, 0x0084, INSTANCE, NONE, ASKED, "PN", NULL),                       /* ContentCreatorName */
};
/* clang-format on */
const size_t attribute_count = sizeof attributes / sizeof *attributes;

const attribute_t *attribute_find(uint32_t tag)
{
    size_t low = 0, high = attribute_count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (attributes[middle].tag == tag)
            return &attributes[middle];
        if (attributes[middle].tag < tag)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

const uint32_t *attribute_json_tags(size_t *out_count)
{
    static _Thread_local uint32_t tags[ATTRIBUTES_MAX];
    size_t count = 0;
    for (size_t i = 0; i < attribute_count; i++)
        if (!attributes[i].computed && !attributes[i].within)
            tags[count++] = attributes[i].tag;
    *out_count = count;
    return tags;
}
