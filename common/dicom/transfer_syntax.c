#include "dicom/transfer_syntax.h"

#include <string.h>

#define OCTETS "application/octet-stream"
#define JPEG   "1.2.840.10008.1.2.4."

/* clang-format off */
/* Flags in the order of the struct: explicit VR, big endian, encapsulated, deflated, lossy. */
static const dicom_transfer_syntax_t table[] = {
    /* uid                        name                                   ex be en df lo media type */
    {DICOM_EXPLICIT_LITTLE,       "Explicit VR Little Endian",           1, 0, 0, 0, 0, OCTETS},
    {DICOM_IMPLICIT_LITTLE,       "Implicit VR Little Endian",           0, 0, 0, 0, 0, OCTETS},
    {JPEG "90",                   "JPEG 2000 Lossless",                  1, 0, 1, 0, 0, "image/jp2"},
    {JPEG "201",                  "HTJ2K Lossless",                      1, 0, 1, 0, 0, "image/jphc"},
    {JPEG "202",                  "HTJ2K RPCL Lossless",                 1, 0, 1, 0, 0, "image/jphc"},
    {JPEG "80",                   "JPEG-LS Lossless",                    1, 0, 1, 0, 0, "image/jls"},
    {JPEG "70",                   "JPEG Lossless SV1",                   1, 0, 1, 0, 0, "image/jpeg"},
    {JPEG "57",                   "JPEG Lossless (Process 14)",          1, 0, 1, 0, 0, "image/jpeg"},
    {JPEG "110",                  "JPEG XL Lossless",                    1, 0, 1, 0, 0, "image/jxl"},
    {"1.2.840.10008.1.2.5",       "RLE Lossless",                        1, 0, 1, 0, 0,
     "image/dicom-rle"},
    {DICOM_DEFLATED_LITTLE,       "Deflated Explicit VR Little Endian",  1, 0, 0, 1, 0, OCTETS},
    {DICOM_EXPLICIT_BIG,          "Explicit VR Big Endian",              1, 1, 0, 0, 0, OCTETS},
    {JPEG "50",                   "JPEG Baseline",                       1, 0, 1, 0, 1, "image/jpeg"},
    {JPEG "51",                   "JPEG Extended",                       1, 0, 1, 0, 1, "image/jpeg"},
    {JPEG "81",                   "JPEG-LS Near-lossless",               1, 0, 1, 0, 1, "image/jls"},
    {JPEG "91",                   "JPEG 2000",                           1, 0, 1, 0, 1, "image/jp2"},
    {JPEG "203",                  "HTJ2K",                               1, 0, 1, 0, 1, "image/jphc"},
    {JPEG "92",                   "JPEG 2000 Multi-component Lossless",  1, 0, 1, 0, 0, "image/jpx"},
    {JPEG "93",                   "JPEG 2000 Multi-component",           1, 0, 1, 0, 1, "image/jpx"},
    {JPEG "111",                  "JPEG XL JPEG Recompression",          1, 0, 1, 0, 1, "image/jxl"},
    {JPEG "112",                  "JPEG XL",                             1, 0, 1, 0, 1, "image/jxl"},
    {JPEG "100",                  "MPEG2 Main Profile",                  1, 0, 1, 0, 1, "video/mpeg"},
    {JPEG "100.1",                "MPEG2 Main Profile, fragmentable",    1, 0, 1, 0, 1, "video/mpeg"},
    {JPEG "101",                  "MPEG2 High Level",                    1, 0, 1, 0, 1, "video/mpeg"},
    {JPEG "101.1",                "MPEG2 High Level, fragmentable",      1, 0, 1, 0, 1, "video/mpeg"},
    {JPEG "102",                  "MPEG-4 High Profile 4.1",             1, 0, 1, 0, 1, "video/mp4"},
    {JPEG "102.1",                "MPEG-4 High 4.1, fragmentable",       1, 0, 1, 0, 1, "video/mp4"},
    {JPEG "103",                  "MPEG-4 BD-compatible 4.1",            1, 0, 1, 0, 1, "video/mp4"},
    {JPEG "103.1",                "MPEG-4 BD 4.1, fragmentable",         1, 0, 1, 0, 1, "video/mp4"},
    {JPEG "104",                  "MPEG-4 High Profile 4.2 2D",          1, 0, 1, 0, 1, "video/mp4"},
    {JPEG "104.1",                "MPEG-4 High 4.2 2D, fragmentable",    1, 0, 1, 0, 1, "video/mp4"},
    {JPEG "105",                  "MPEG-4 High Profile 4.2 3D",          1, 0, 1, 0, 1, "video/mp4"},
    {JPEG "105.1",                "MPEG-4 High 4.2 3D, fragmentable",    1, 0, 1, 0, 1, "video/mp4"},
    {JPEG "106",                  "MPEG-4 Stereo High 4.2",              1, 0, 1, 0, 1, "video/mp4"},
    {JPEG "106.1",                "MPEG-4 Stereo 4.2, fragmentable",     1, 0, 1, 0, 1, "video/mp4"},
    {JPEG "107",                  "HEVC Main Profile 5.1",               1, 0, 1, 0, 1, "video/mp4"},
    {JPEG "108",                  "HEVC Main 10 Profile 5.1",            1, 0, 1, 0, 1, "video/mp4"},
    {"1.2.840.10008.1.2.1.98",    "Encapsulated Uncompressed",           1, 0, 1, 0, 0, OCTETS},
    {"1.2.840.10008.1.2.8.1",     "Deflated Image Frame Compression",    1, 0, 1, 0, 0, OCTETS},
    /* Retired JPEG processes (PS3.5 2001) and syntaxes without pixel data in them. */
    {JPEG "52",                   "JPEG Process 3 and 5",                1, 0, 1, 0, 1, "image/jpeg"},
    {JPEG "53",                   "JPEG Spectral Selection 6 and 8",     1, 0, 1, 0, 1, "image/jpeg"},
    {JPEG "54",                   "JPEG Spectral Selection 7 and 9",     1, 0, 1, 0, 1, "image/jpeg"},
    {JPEG "55",                   "JPEG Full Progression 10 and 12",     1, 0, 1, 0, 1, "image/jpeg"},
    {JPEG "56",                   "JPEG Full Progression 11 and 13",     1, 0, 1, 0, 1, "image/jpeg"},
    {JPEG "58",                   "JPEG Lossless (Process 15)",          1, 0, 1, 0, 0, "image/jpeg"},
    {JPEG "94",                   "JPIP Referenced",                     1, 0, 0, 0, 1, OCTETS},
    {JPEG "95",                   "JPIP Referenced Deflate",             1, 0, 0, 1, 1, OCTETS},
    {JPEG "204",                  "JPIP HTJ2K Referenced",               1, 0, 0, 0, 1, OCTETS},
    {JPEG "205",                  "JPIP HTJ2K Referenced Deflate",       1, 0, 0, 1, 1, OCTETS},
    /* Seen in the field: the dataset is implicit VR little endian. */
    {"1.2.840.113619.5.2",        "GE Private Implicit, pixels big",     0, 0, 0, 0, 0, OCTETS},
    {"1.2.840.10008.1.20",        "Papyrus 3 Implicit VR Little Endian", 0, 0, 0, 0, 0, OCTETS},
    {NULL, NULL, 0, 0, 0, 0, 0, NULL},
};
/* clang-format on */

static const dicom_transfer_syntax_t unknown = {
    "", "unknown, taken as encapsulated", 1, 0, 1, 0, 0, OCTETS};

const dicom_transfer_syntax_t *dicom_transfer_syntax_find(const char *uid)
{
    for (const dicom_transfer_syntax_t *row = table; row->uid; row++)
        if (strcmp(row->uid, uid) == 0)
            return row;
    return &unknown;
}

const dicom_transfer_syntax_t *dicom_transfer_syntax_table(void)
{
    return table;
}
