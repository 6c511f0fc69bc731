#include "dicom/charset.h"

#include "base/memory.h"
#include "base/text.h"
#include "dicom/reader.h"

#include <ctype.h>
#include <errno.h>
#include <iconv.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* clang-format off */
/* Coded character sets; the order of codec_names. */
typedef enum {
    SET_NONE, /* nothing is designated */
    SET_ASCII,
    SET_ROMAJI,   /* JIS X 0201, G0 */
    SET_KATAKANA, /* JIS X 0201, G1 */
    SET_LATIN1, SET_LATIN2, SET_LATIN3, SET_LATIN4, SET_CYRILLIC, SET_ARABIC, SET_GREEK, SET_HEBREW,
    SET_LATIN5, SET_LATIN9, SET_THAI,
    SET_KSX1001, SET_GB2312,     /* two bytes, G1 */
    SET_JISX0208, SET_JISX0212,  /* two bytes, G0 */
    SET_UTF8, SET_GB18030, SET_GBK, /* whole values, no escape sequences */
    SET_COUNT
} set_t;

static const char *const codec_names[SET_COUNT] = {
    [SET_LATIN1] = "ISO-8859-1",    [SET_LATIN2] = "ISO-8859-2",  [SET_LATIN3] = "ISO-8859-3",
    [SET_LATIN4] = "ISO-8859-4",    [SET_CYRILLIC] = "ISO-8859-5", [SET_ARABIC] = "ISO-8859-6",
    [SET_GREEK] = "ISO-8859-7",     [SET_HEBREW] = "ISO-8859-8",  [SET_LATIN5] = "ISO-8859-9",
    [SET_LATIN9] = "ISO-8859-15",   [SET_THAI] = "TIS-620",       [SET_KSX1001] = "EUC-KR",
    [SET_GB2312] = "EUC-CN",        [SET_JISX0208] = "EUC-JP",    [SET_JISX0212] = "EUC-JP",
    [SET_GB18030] = "GB18030",      [SET_GBK] = "GBK",
};

/* Defined terms, with what the field writes for them; normalised by term_key().
   PS3.3 tables C.12-2 to C.12-5 */
static const struct {
    const char *key;
    set_t g0, g1;
} terms[] = {
    {"IR6", SET_ASCII, SET_NONE},         {"ASCII", SET_ASCII, SET_NONE},
    {"IR100", SET_ASCII, SET_LATIN1},     {"LATIN1", SET_ASCII, SET_LATIN1},
    {"ISO88591", SET_ASCII, SET_LATIN1},  {"88591", SET_ASCII, SET_LATIN1},
    {"IR101", SET_ASCII, SET_LATIN2},     {"ISO88592", SET_ASCII, SET_LATIN2},
    {"IR109", SET_ASCII, SET_LATIN3},     {"IR110", SET_ASCII, SET_LATIN4},
    {"IR144", SET_ASCII, SET_CYRILLIC},   {"IR127", SET_ASCII, SET_ARABIC},
    {"IR126", SET_ASCII, SET_GREEK},      {"IR138", SET_ASCII, SET_HEBREW},
    {"IR148", SET_ASCII, SET_LATIN5},     {"IR203", SET_ASCII, SET_LATIN9},
    {"IR166", SET_ASCII, SET_THAI},       {"IR13", SET_ROMAJI, SET_KATAKANA},
    {"IR87", SET_ASCII, SET_NONE},        {"IR159", SET_ASCII, SET_NONE},
    {"IR149", SET_ASCII, SET_KSX1001},    {"IR58", SET_ASCII, SET_GB2312},
    {"IR192", SET_UTF8, SET_UTF8},        {"UTF8", SET_UTF8, SET_UTF8},
    {"GB18030", SET_GB18030, SET_GB18030}, {"GBK", SET_GBK, SET_GBK},
};


/* Escape sequences without their ESC.                             PS3.3 tables C.12-3 and C.12-4 */
static const struct {
    const char *bytes;
    bool g1;
    set_t set;
} escapes[] = {
    {"(B", false, SET_ASCII},    {"(J", false, SET_ROMAJI},    {")I", true, SET_KATAKANA},
    {"-A", true, SET_LATIN1},    {"-B", true, SET_LATIN2},     {"-C", true, SET_LATIN3},
    {"-D", true, SET_LATIN4},    {"-L", true, SET_CYRILLIC},   {"-G", true, SET_ARABIC},
    {"-F", true, SET_GREEK},     {"-H", true, SET_HEBREW},     {"-M", true, SET_LATIN5},
    {"-b", true, SET_LATIN9},    {"-T", true, SET_THAI},       {"$)C", true, SET_KSX1001},
    {"$)A", true, SET_GB2312},   {"$B", false, SET_JISX0208},  {"$@", false, SET_JISX0208},
    {"$(D", false, SET_JISX0212},
};
/* clang-format on */

struct dicom_charset {
    set_t g0, g1;  /* before any escape sequence, and after a delimiter */
    bool declared; /* a term that we know */
    iconv_t codecs[SET_COUNT];
    bool opened[SET_COUNT];
};

enum { TERM_MAX = 24, ESC = 0x1B };
static const char replacement[] = "\xEF\xBF\xBD"; /* U+FFFD */

/* Upper case without blanks, '_' and '-', without "ISO" or "ISO 2022" before "IR". */
static void term_key(const char *term, size_t length, char key[TERM_MAX])
{
    size_t used = 0;
    for (size_t i = 0; i < length && used < TERM_MAX - 1; i++) {
        unsigned char c = (unsigned char)term[i];
        if (isalnum(c) && c < 0x80)
            key[used++] = (char)toupper(c);
    }
    key[used] = 0;
    const char *ir = strncmp(key, "ISO2022IR", 9) == 0 ? key + 7
                     : strncmp(key, "ISOIR", 5) == 0   ? key + 3
                                                       : key;
    memmove(key, ir, strlen(ir) + 1);
}

dicom_charset_t *dicom_charset_open(const char *value, size_t length)
{
    dicom_charset_t *charset = memory_allocate(sizeof *charset);
    charset->g0 = SET_ASCII;
    charset->g1 = SET_NONE;
    const char *end = length ? memchr(value, '\\', length) : NULL;
    char key[TERM_MAX];
    term_key(value, end ? (size_t)(end - value) : length, key);
    /* An empty first value with others behind it is ISO 2022 IR 6 (PS3.3 C.12.1.1.2). */
    charset->declared = !*key && end;
    for (size_t i = 0; i < sizeof terms / sizeof *terms; i++) {
        if (strcmp(terms[i].key, key) == 0) {
            charset->g0 = terms[i].g0;
            charset->g1 = terms[i].g1;
            charset->declared = true;
        }
    }
    return charset;
}

void dicom_charset_close(dicom_charset_t **charset)
{
    if (!*charset)
        return;
    for (int i = 0; i < SET_COUNT; i++)
        if ((*charset)->opened[i] && (*charset)->codecs[i] != (iconv_t)-1)
            iconv_close((*charset)->codecs[i]);
    free(*charset);
    *charset = NULL;
}

static iconv_t codec(dicom_charset_t *charset, set_t set)
{
    if (!charset->opened[set]) {
        charset->codecs[set] = iconv_open("UTF-8", codec_names[set]);
        charset->opened[set] = true;
    }
    return charset->codecs[set];
}

static void convert(dicom_charset_t *charset, set_t set, const uint8_t *text, size_t length,
                    buffer_t *out)
{
    iconv_t handle = codec(charset, set);
    char *in = (char *)(uintptr_t)text;
    char converted[512];
    if (handle != (iconv_t)-1)
        iconv(handle, NULL, NULL, NULL, NULL);
    while (length) {
        char *to = converted;
        size_t room = sizeof converted, result = (size_t)-1;
        errno = EILSEQ;
        if (handle != (iconv_t)-1)
            result = iconv(handle, &in, &length, &to, &room);
        int error = errno;
        buffer_append(out, converted, sizeof converted - room);
        if (result == (size_t)-1 && error != E2BIG && length) {
            buffer_append(out, replacement, 3);
            in++;
            length--;
        }
    }
}

static void copy_utf8(const uint8_t *text, size_t length, buffer_t *out)
{
    for (size_t i = 0; i < length;) {
        size_t run = 0, sequence;
        while (i + run < length &&
               (sequence = text_utf8_sequence(text + i + run, length - i - run)))
            run += sequence;
        buffer_append(out, text + i, run);
        i += run;
        if (i < length) {
            buffer_append(out, replacement, 3);
            i++;
        }
    }
}

/* JIS X 0208 and 0212 as EUC-JP has them: high bits, and 8F before the latter. */
static void convert_japanese(dicom_charset_t *charset, set_t set, const uint8_t *text,
                             size_t length, buffer_t *out)
{
    for (size_t i = 0; i + 1 < length; i += 2) {
        uint8_t euc[] = {0x8F, text[i] | 0x80, text[i + 1] | 0x80};
        size_t skip = set == SET_JISX0212 ? 0 : 1;
        convert(charset, SET_JISX0208, euc + skip, sizeof euc - skip, out);
    }
    if (length & 1)
        buffer_append(out, replacement, 3);
}

static void convert_katakana(const uint8_t *text, size_t length, buffer_t *out)
{
    for (size_t i = 0; i < length; i++) {
        if (text[i] < 0xA1 || text[i] > 0xDF) {
            buffer_append(out, replacement, 3);
            continue;
        }
        unsigned code = 0xFF61u + text[i] - 0xA1; /* half-width forms, in the same order */
        uint8_t utf8[] = {0xEF, (uint8_t)(0x80 | ((code >> 6) & 0x3F)),
                          (uint8_t)(0x80 | (code & 0x3F))};
        buffer_append(out, utf8, sizeof utf8);
    }
}

static void convert_g1(dicom_charset_t *charset, set_t set, const uint8_t *text, size_t length,
                       buffer_t *out)
{
    if (set == SET_KATAKANA)
        convert_katakana(text, length, out);
    else if (set != SET_NONE)
        convert(charset, set, text, length, out);
    else if (text_is_utf8((const char *)text,
                          length)) /* nothing says what it is: what the field mostly means */
        buffer_append(out, text, length);
    else
        convert(charset, SET_LATIN1, text, length, out);
}

/* The escape sequence behind ESC: its bytes, or 0. */
static size_t follow_escape(const uint8_t *text, size_t left, set_t *g0, set_t *g1)
{
    for (size_t i = 0; i < sizeof escapes / sizeof *escapes; i++) {
        size_t length = strlen(escapes[i].bytes);
        if (length <= left && memcmp(text, escapes[i].bytes, length) == 0) {
            *(escapes[i].g1 ? g1 : g0) = escapes[i].set;
            return length;
        }
    }
    return 0;
}

/* Where the designations of value 1 become active again.                       PS3.3 C.12.1.1.2.1
 */
static bool is_delimiter(uint8_t c, bool multi_valued, bool name)
{
    return c == '\r' || c == '\n' || c == '\f' || c == '\t' || (multi_valued && c == '\\') ||
           (name && (c == '^' || c == '='));
}

static void decode_2022(dicom_charset_t *charset, bool multi_valued, bool name, const uint8_t *text,
                        size_t length, buffer_t *out)
{
    set_t g0 = charset->g0, g1 = charset->g1;
    for (size_t i = 0; i < length;) {
        uint8_t c = text[i];
        if (c == ESC) {
            size_t sequence = follow_escape(text + i + 1, length - i - 1, &g0, &g1);
            i += 1 + sequence;
            continue; /* an ESC of nothing that we know is dropped: it has no form in text */
        }
        size_t run = 1;
        if (c >= 0x80) {
            while (i + run < length && text[i + run] >= 0x80)
                run++;
            convert_g1(charset, g1, text + i, run, out);
        } else if ((g0 == SET_JISX0208 || g0 == SET_JISX0212) && c > 0x20) {
            while (i + run < length && text[i + run] > 0x20 && text[i + run] < 0x80)
                run++;
            convert_japanese(charset, g0, text + i, run, out);
        } else {
            if (is_delimiter(c, multi_valued, name)) {
                g0 = charset->g0;
                if (charset->g1 != SET_NONE) /* else what was designated is the best guess */
                    g1 = charset->g1;
            }
            if (g0 == SET_ROMAJI && c == 0x5C && !multi_valued)
                buffer_append_text(out, "\xC2\xA5"); /* yen sign */
            else if (g0 == SET_ROMAJI && c == 0x7E)
                buffer_append_text(out, "\xE2\x80\xBE"); /* overline */
            else
                buffer_append_byte(out, c);
        }
        i += run;
    }
}

/* VRs that Specific Character Set speaks of.                                          PS3.5 6.1.2.2
 */
static bool uses_charset(uint16_t vr)
{
    return vr == DICOM_VR('P', 'N') || vr == DICOM_VR('L', 'O') || vr == DICOM_VR('S', 'H') ||
           vr == DICOM_VR('U', 'C') || vr == DICOM_VR('S', 'T') || vr == DICOM_VR('L', 'T') ||
           vr == DICOM_VR('U', 'T');
}

bool dicom_charset_is_plain(const dicom_charset_t *charset, const uint8_t *text, size_t length)
{
    size_t i = 0;
    for (; i + 8 <= length; i += 8) {
        uint64_t word;
        memcpy(&word, text + i, sizeof word);
        if (word & 0x8080808080808080u)
            return false;
    }
    for (; i < length; i++)
        if (text[i] & 0x80)
            return false;
    if (!length)
        return true;
    if (charset->g0 == SET_ROMAJI && (memchr(text, 0x5C, length) || memchr(text, 0x7E, length)))
        return false;
    return !memchr(text, ESC, length);
}

void dicom_charset_decode(dicom_charset_t *charset, uint16_t vr, const uint8_t *text, size_t length,
                          buffer_t *out_utf8)
{
    if (dicom_charset_is_plain(charset, text, length)) {
        buffer_append(out_utf8, text, length);
    } else if (!uses_charset(vr) || (!charset->declared && !memchr(text, ESC, length))) {
        if (text_is_utf8((const char *)text, length))
            buffer_append(out_utf8, text, length);
        else
            convert(charset, SET_LATIN1, text, length, out_utf8);
    } else if (charset->g0 == SET_UTF8) {
        copy_utf8(text, length, out_utf8);
    } else if (charset->g0 == SET_GB18030 || charset->g0 == SET_GBK) {
        convert(charset, charset->g0, text, length, out_utf8);
    } else {
        bool single =
            vr == DICOM_VR('S', 'T') || vr == DICOM_VR('L', 'T') || vr == DICOM_VR('U', 'T');
        decode_2022(charset, !single, vr == DICOM_VR('P', 'N'), text, length, out_utf8);
    }
}
