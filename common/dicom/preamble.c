#include "dicom/preamble.h"

#include <stddef.h>
#include <string.h>
#include <strings.h>

static const struct {
    const char *head, *kind;
} heads[] = {
    {"MZ", "a Windows program"},
    {"\x7F"
     "ELF",
     "a Linux program"},
    {"\xFE\xED\xFA\xCE",
     "a macOS program"}, /* Mach-O of 32 and 64 bits in either order, and of many kinds */
    {"\xFE\xED\xFA\xCF", "a macOS program"},
    {"\xCE\xFA\xED\xFE", "a macOS program"},
    {"\xCF\xFA\xED\xFE", "a macOS program"},
    {"\xCA\xFE\xBA\xBE", "a macOS or Java program"},
    {"#!", "a script"},
    {"PK", "a ZIP archive"},
    {"<script", "a page"}, /* of letters in either case: so browsers read it */
    {"<html", "a page"},
    {"<!doctype html", "a page"},
};

const char *dicom_preamble_kind(const uint8_t *preamble)
{
    const char *begin = (const char *)preamble;
    for (size_t i = 0; i < sizeof heads / sizeof *heads; i++) {
        size_t length = strlen(heads[i].head);
        if (heads[i].head[0] == '<' ? strncasecmp(begin, heads[i].head, length) == 0
                                    : memcmp(begin, heads[i].head, length) == 0)
            return heads[i].kind;
    }
    return NULL;
}
