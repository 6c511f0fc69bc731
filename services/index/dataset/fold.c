#include "index/dataset/fold.h"

#include <stdbool.h>
#include <stdint.h>

/* ---- tables: NFKD (Unicode 15) without combining marks, lower case ---------------------------- */

/* U+00C0 to U+024F. '.': stays as it is; '*': two letters, below. */
static const char latin[] = "aaaaaa*ceeeeiiiidnooooo.ouuuuy**aaaaaa*ceeeeiiiidnooooo.ouuuuy*y"
                            "aaaaaaccccccccddddeeeeeeeeeegggggggghhhhiiiiiiiiii**jjkkklllllll"
                            "lllnnnnnn.nnoooooo**rrrrrrssssssssttttttuuuuuuuuuuuuwwyyyzzzzzzs"
                            "b...............................oo.............uu..............."
                            "....*********aaiioouuuuuuuuuu.aaaa**ggggkkoooo..j***gg..nnaa**oo"
                            "aaaaeeeeiiiioooorrrruuuusstt..hh......aaeeooooooooyy............"
                            "...b............";

/* U+1E00 to U+1EFF, Latin Extended Additional. */
static const char latin_additional[] =
    "aabbbbbbccddddddddddeeeeeeeeeeffgghhhhhhhhhhiiiikkkkkkllllllllmm"
    "mmmmnnnnnnnnoooooooopppprrrrrrrrssssssssssttttttttuuuuuuuuuuvvvv"
    "wwwwwwwwwwxxxxyyzzzzzzhtwy.s..*.aaaaaaaaaaaaaaaaaaaaaaaaeeeeeeee"
    "eeeeeeeeiiiioooooooooooooooooooooooouuuuuuuuuuuuuuyyyyyyyy......";

static const struct {
    uint32_t from;
    char to[3];
} latin_pairs[] = {{0x00C6, "ae"}, {0x00DE, "th"}, {0x00DF, "ss"}, {0x00E6, "ae"}, {0x00FE, "th"},
                   {0x0132, "ij"}, {0x0133, "ij"}, {0x0152, "oe"}, {0x0153, "oe"}, {0x01C4, "dz"},
                   {0x01C5, "dz"}, {0x01C6, "dz"}, {0x01C7, "lj"}, {0x01C8, "lj"}, {0x01C9, "lj"},
                   {0x01CA, "nj"}, {0x01CB, "nj"}, {0x01CC, "nj"}, {0x01E2, "ae"}, {0x01E3, "ae"},
                   {0x01F1, "dz"}, {0x01F2, "dz"}, {0x01F3, "dz"}, {0x01FC, "ae"}, {0x01FD, "ae"},
                   {0x1E9E, "ss"}};

/* U+0386 to U+03CE; the final sigma is a sigma. */
static const uint16_t greek[] = {
    0x3B1, 0x0B7, 0x3B5, 0x3B7, 0x3B9, 0x38B, 0x3BF, 0x38D, 0x3C5, 0x3C9, 0x3B9, 0x3B1, 0x3B2,
    0x3B3, 0x3B4, 0x3B5, 0x3B6, 0x3B7, 0x3B8, 0x3B9, 0x3BA, 0x3BB, 0x3BC, 0x3BD, 0x3BE, 0x3BF,
    0x3C0, 0x3C1, 0x3A2, 0x3C3, 0x3C4, 0x3C5, 0x3C6, 0x3C7, 0x3C8, 0x3C9, 0x3B9, 0x3C5, 0x3B1,
    0x3B5, 0x3B7, 0x3B9, 0x3C5, 0x3B1, 0x3B2, 0x3B3, 0x3B4, 0x3B5, 0x3B6, 0x3B7, 0x3B8, 0x3B9,
    0x3BA, 0x3BB, 0x3BC, 0x3BD, 0x3BE, 0x3BF, 0x3C0, 0x3C1, 0x3C3, 0x3C3, 0x3C4, 0x3C5, 0x3C6,
    0x3C7, 0x3C8, 0x3C9, 0x3B9, 0x3C5, 0x3BF, 0x3C5, 0x3C9};

/* U+0400 to U+040F, and U+0450 to U+045F; the alphabet between them is regular. */
static const uint16_t cyrillic_upper[] = {0x435, 0x435, 0x452, 0x433, 0x454, 0x455, 0x456, 0x456,
                                          0x458, 0x459, 0x45A, 0x45B, 0x43A, 0x438, 0x443, 0x45F};
static const uint16_t cyrillic_lower[] = {0x435, 0x435, 0x452, 0x433, 0x454, 0x455, 0x456, 0x456,
                                          0x458, 0x459, 0x45A, 0x45B, 0x43A, 0x438, 0x443, 0x45F};

#define COUNT(table) (sizeof(table) / sizeof *(table))

/* ---- UTF-8 ------------------------------------------------------------------------------------- */

/* The code point at text and its length; 0 when the bytes are no UTF-8. */
static size_t code_point_read(const uint8_t *text, size_t left, uint32_t *out_point)
{
    size_t length = text[0] < 0x80   ? 1
                    : text[0] < 0xC2 ? 0
                    : text[0] < 0xE0 ? 2
                    : text[0] < 0xF0 ? 3
                    : text[0] < 0xF5 ? 4
                                     : 0;
    if (length == 0 || length > left)
        return 0;
    uint32_t point = length == 1 ? text[0] : text[0] & (0x7Fu >> length);
    for (size_t i = 1; i < length; i++) {
        if ((text[i] & 0xC0) != 0x80)
            return 0;
        point = point << 6 | (text[i] & 0x3Fu);
    }
    *out_point = point;
    return length;
}

static void code_point_append(buffer_t *out, uint32_t point)
{
    if (point < 0x80) {
        buffer_append_byte(out, (uint8_t)point);
    } else if (point < 0x800) {
        buffer_append_byte(out, (uint8_t)(0xC0 | point >> 6));
        buffer_append_byte(out, (uint8_t)(0x80 | (point & 0x3F)));
    } else if (point < 0x10000) {
        buffer_append_byte(out, (uint8_t)(0xE0 | point >> 12));
        buffer_append_byte(out, (uint8_t)(0x80 | (point >> 6 & 0x3F)));
        buffer_append_byte(out, (uint8_t)(0x80 | (point & 0x3F)));
    } else {
        buffer_append_byte(out, (uint8_t)(0xF0 | point >> 18));
        buffer_append_byte(out, (uint8_t)(0x80 | (point >> 12 & 0x3F)));
        buffer_append_byte(out, (uint8_t)(0x80 | (point >> 6 & 0x3F)));
        buffer_append_byte(out, (uint8_t)(0x80 | (point & 0x3F)));
    }
}

/* ---- folding ----------------------------------------------------------------------------------- */

static uint32_t fold_greek_cyrillic(uint32_t point)
{
    if (point >= 0x386 && point < 0x386 + COUNT(greek))
        return greek[point - 0x386];
    if (point >= 0x400 && point < 0x410)
        return cyrillic_upper[point - 0x400];
    if (point >= 0x410 && point < 0x430)
        point += 0x20;
    if (point == 0x439) /* i with breve */
        return 0x438;
    if (point >= 0x450 && point < 0x460)
        return cyrillic_lower[point - 0x450];
    /* Further Cyrillic letters come in pairs, the capital first. */
    if ((point >= 0x460 && point <= 0x481) || (point >= 0x48A && point <= 0x4BF) ||
        (point >= 0x4D0 && point <= 0x52F))
        return point | 1;
    return point;
}

/* True when the table of Latin letters had it. */
static bool fold_latin(buffer_t *out, uint32_t point)
{
    char letter = '.';
    if (point >= 0xC0 && point < 0xC0 + sizeof latin - 1)
        letter = latin[point - 0xC0];
    else if (point >= 0x1E00 && point < 0x1E00 + sizeof latin_additional - 1)
        letter = latin_additional[point - 0x1E00];
    if (letter == '.')
        return false;
    if (letter != '*') {
        buffer_append_byte(out, (uint8_t)letter);
        return true;
    }
    for (size_t i = 0; i < COUNT(latin_pairs); i++)
        if (latin_pairs[i].from == point)
            buffer_append_text(out, latin_pairs[i].to);
    return true;
}

static void fold_point(buffer_t *out, uint32_t point)
{
    if (point >= 0xFF01 && point <= 0xFF5E) /* full-width forms of ASCII */
        point -= 0xFF01 - 0x21;
    else if (point == 0x3000 || point == 0xA0) /* ideographic and no-break space */
        point = ' ';
    if (point >= 'A' && point <= 'Z')
        point += 'a' - 'A';
    if (point == 0 || (point >= 0x300 && point <= 0x36F)) /* combining marks */
        return;
    if (point < 0x80 || !fold_latin(out, point))
        code_point_append(out, fold_greek_cyrillic(point));
}

void fold_append(buffer_t *out, const char *text, size_t length)
{
    const uint8_t *bytes = (const uint8_t *)text;
    for (size_t i = 0; i < length;) {
        uint32_t point = 0;
        size_t size = code_point_read(bytes + i, length - i, &point);
        if (size)
            fold_point(out, point);
        i += size ? size : 1;
    }
}

static void blanks_drop(buffer_t *out, size_t from)
{
    while (out->length > from && out->data[out->length - 1] == ' ')
        out->length--;
}

void fold_append_name(buffer_t *out, const char *group, size_t length)
{
    size_t begin = out->length, component = begin;
    AUTO_BUFFER folded = {0};
    fold_append(&folded, group, length);
    for (size_t i = 0; i < folded.length; i++) {
        uint8_t byte = folded.data[i];
        if (byte == '^') {
            blanks_drop(out, component);
            buffer_append_byte(out, byte);
            component = out->length;
        } else if (byte != ' ' || out->length > component) {
            buffer_append_byte(out, byte);
        }
    }
    while (out->length > begin &&
           (out->data[out->length - 1] == ' ' || out->data[out->length - 1] == '^'))
        out->length--;
}
