#ifndef ZPACS_TESTS_SYNTHETIC_H
#define ZPACS_TESTS_SYNTHETIC_H

/* What fills and measures: an archive that follows from numbers alone: instance n belongs to study n / 10, of 2 series of 5. */
#include "base/buffer.h"

#include "base/status.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static inline _Noreturn void stop(const char *what)
{
    fprintf(stderr, "%s: %s: %s\n", program_invocation_short_name, what, fail_detail());
    exit(1);
}

#define MUST(step)                                                                                 \
    do {                                                                                           \
        if ((step) != STATUS_OK)                                                                   \
            stop(#step);                                                                           \
    } while (0)

enum {
    STUDY_INSTANCES = 10,
    SERIES_INSTANCES = 5,
    MONTH = 28,
    YEAR = 12 * MONTH,
    DAYS = 10 * YEAR
};

static const char *const family_names[] = {"Martin",  "Bernard", "Dubois",  "Thomas", "Robert",
                                           "Richard", "Petit",   "Durand",  "Leroy",  "Moreau",
                                           "Simon",   "Laurent", "Lefèvre", "Michel", "Garcia",
                                           "Müller",  "Schmidt", "Weber",   "Wagner", "Becker"};
static const char *const given_names[] = {"Anne", "Jean", "Marie", "Paul",
                                          "Luc",  "Eva",  "Léa",   "Max"};
static const char *const modalities[] = {"CT", "MR", "US", "CR", "DX", "XA", "NM", "PT"};
enum { FAMILIES = 20, GIVEN = 8, MODALITIES = 8 };

static inline void element_put(buffer_t *out, uint32_t tag, const char *vr, const char *value)
{
    size_t length = strlen(value), even = length + (length & 1);
    const uint8_t head[8] = {(uint8_t)(tag >> 16), (uint8_t)(tag >> 24), (uint8_t)tag,
                             (uint8_t)(tag >> 8),  (uint8_t)vr[0],       (uint8_t)vr[1],
                             (uint8_t)even,        (uint8_t)(even >> 8)};
    buffer_append(out, head, sizeof head);
    buffer_append(out, value, length);
    if (length & 1)
        buffer_append_byte(out, strcmp(vr, "UI") == 0 ? 0 : ' ');
}

/* All of a study follows from its number. */
typedef struct {
    char uid[40], patient_id[24], name[64], birth_date[16], date[16], time[16], accession[24];
    const char *modality;
} study_t;

static inline void study_make(uint64_t number, study_t *study)
{
    uint64_t mix = number * UINT64_C(0x9E3779B97F4A7C15);
    snprintf(study->uid, sizeof study->uid, "1.2.826.0.1.%" PRIu64, number + 1);
    snprintf(study->patient_id, sizeof study->patient_id, "PID%07" PRIu64, number / 3);
    snprintf(study->name, sizeof study->name, "%s%03" PRIu64 "^%s", family_names[mix % FAMILIES],
             mix / 64 % 1000, given_names[mix / 4096 % GIVEN]);
    uint64_t born = number / 3 * UINT64_C(0x9E3779B97F4A7C15) >> 16;
    snprintf(study->birth_date, sizeof study->birth_date, "%04d%02d%02d", 1930 + (int)(born % 80),
             1 + (int)(born / 128 % 12), 1 + (int)(born / 2048 % 28));
    int day = (int)(mix / 65536 % DAYS); /* months of 28, so that each day has as many studies */
    snprintf(study->date, sizeof study->date, "%04d%02d%02d", 2017 + day / YEAR,
             1 + day % YEAR / MONTH, 1 + day % MONTH);
    snprintf(study->time, sizeof study->time, "%02d%02d%02d", (int)(mix >> 40) % 24 & 15,
             (int)(mix >> 45 & 31), (int)(mix >> 50 & 31));
    snprintf(study->accession, sizeof study->accession, "ACC%07" PRIu64, number);
    study->modality = modalities[mix / 1024 % MODALITIES];
}

#define SYNTHETIC_SOP_CLASS "1.2.840.10008.5.1.4.1.1.2"

typedef struct {
    study_t study;
    char series[56], sop[64];
} instance_t;

static inline void instance_make(uint64_t number, instance_t *instance)
{
    uint64_t in_study = number % STUDY_INSTANCES;
    study_make(number / STUDY_INSTANCES, &instance->study);
    snprintf(instance->series, sizeof instance->series, "%s.%" PRIu64, instance->study.uid,
             in_study / SERIES_INSTANCES + 1);
    snprintf(instance->sop, sizeof instance->sop, "%s.%" PRIu64, instance->series,
             in_study % SERIES_INSTANCES + 1);
}

/* The dataset, in Explicit VR Little Endian, without pixels. */
static inline void dataset_make(uint64_t number, const instance_t *instance, buffer_t *dataset)
{
    char text[24];
    uint64_t in_study = number % STUDY_INSTANCES, series = in_study / SERIES_INSTANCES;
    buffer_clear(dataset);
    element_put(dataset, 0x00080005, "CS", "ISO_IR 192");
    element_put(dataset, 0x00080016, "UI", SYNTHETIC_SOP_CLASS);
    element_put(dataset, 0x00080018, "UI", instance->sop);
    element_put(dataset, 0x00080020, "DA", instance->study.date);
    element_put(dataset, 0x00080030, "TM", instance->study.time);
    element_put(dataset, 0x00080050, "SH", instance->study.accession);
    element_put(dataset, 0x00080060, "CS", instance->study.modality);
    element_put(dataset, 0x00081030, "LO", "Thorax with contrast");
    element_put(dataset, 0x0008103E, "LO", "axial 1 mm");
    element_put(dataset, 0x00100010, "PN", instance->study.name);
    element_put(dataset, 0x00100020, "LO", instance->study.patient_id);
    element_put(dataset, 0x00100030, "DA", instance->study.birth_date);
    element_put(dataset, 0x00100040, "CS", "O");
    element_put(dataset, 0x0020000D, "UI", instance->study.uid);
    element_put(dataset, 0x0020000E, "UI", instance->series);
    element_put(dataset, 0x00200010, "SH", "1");
    snprintf(text, sizeof text, "%" PRIu64, series + 1);
    element_put(dataset, 0x00200011, "IS", text);
    snprintf(text, sizeof text, "%" PRIu64, in_study + 1);
    element_put(dataset, 0x00200013, "IS", text);
}

#endif
