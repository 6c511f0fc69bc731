#ifndef ZPACS_DICOM_READER_H
#define ZPACS_DICOM_READER_H

#include "base/status.h"
#include "dicom/transfer_syntax.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * A non-recursive, bounded tokenizer over a dataset in memory.                    PS3.5 7, A.4
 *
 * The reader neither allocates nor copies: values are pointers into the caller's bytes, which must
 * outlive the reader. Encapsulated pixel data comes as one token that spans all its fragments.
 */
enum {
    DICOM_NESTING_MAX = 64,
};

#define DICOM_TAG(group, element) (((uint32_t)(group) << 16) | (uint32_t)(element))

/* Two letters as one number: DICOM_VR('P', 'N'). */
#define DICOM_VR(a, b) ((uint16_t)(((uint16_t)(a) << 8) | (uint16_t)(b)))

typedef enum {
    DICOM_TOKEN_ELEMENT,      /* a value: tag, vr, value, length */
    DICOM_TOKEN_ENCAPSULATED, /* pixel data in fragments: value points at the first item (the offset
                                 table), length spans up to and without the sequence delimiter */
    DICOM_TOKEN_SEQUENCE,     /* a sequence begins: tag */
    DICOM_TOKEN_SEQUENCE_END,
    DICOM_TOKEN_ITEM, /* an item of the innermost sequence begins */
    DICOM_TOKEN_ITEM_END,
    DICOM_TOKEN_END /* the dataset is over */
} dicom_token_kind_t;

typedef struct {
    dicom_token_kind_t kind;
    uint32_t tag;
    uint16_t vr; /* from the stream, or the dictionary for implicit VR ('U','N' when unknown) */
    bool undefined_length;
    bool big_endian; /* of this value: UN of undefined length is implicit little (PS3.5 6.2.2) */
    const uint8_t *value;
    size_t length; /* bytes of value that are there; a sequence or item: 0 */
    size_t offset; /* of the element's tag from the start of the dataset */
    size_t value_offset;
    unsigned depth;   /* items around it, 0: top level; an item's own tokens count the item */
    bool implicit_vr; /* vr is the dictionary's */
    bool cut;         /* the value goes on behind the last byte */
} dicom_token_t;

typedef struct {
    const uint8_t *bytes;
    size_t length;
    size_t position;
    bool explicit_vr, big_endian;
    bool truncated; /* out: the bytes ended inside an element, item or sequence; what was open is
                       closed with its _END tokens all the same */
    unsigned depth; /* of open[] */
    struct {
        uint32_t tag;
        size_t end;   /* SIZE_MAX: undefined length */
        size_t limit; /* nothing in it lies behind this */
        bool is_item;
        bool explicit_vr, big_endian; /* to restore behind it */
    } open[2 * DICOM_NESTING_MAX + 2];
    uint32_t previous_tag; /* at top level */
} dicom_reader_t;

/*
 * bytes   a dataset (no preamble, no file meta) in the encoding of syntax (not deflated: inflate
 *         first); a prefix is fine: then truncated tells whether it ends inside something
 */
void dicom_reader_init(dicom_reader_t *reader, const uint8_t *bytes, size_t length,
                       const dicom_transfer_syntax_t *syntax);

/*
 * The next token. After DICOM_TOKEN_END or a failure the reader stays where it is.
 *
 * Taken as the field sends it: VRs that the standard does not know, implicit VR elements in an
 * explicit stream, tags out of order, delimiters that are missing or too many, zeros at the end, a
 * known attribute sent as UN (its vr is the dictionary's; PS3.5 6.2.2).
 *
 * Fails: INVALID (a length that leaves its container, a bad tag in a sequence ...; the sentence
 * says where), TOO_LARGE (deeper than DICOM_NESTING_MAX).
 */
status_t dicom_reader_next(dicom_reader_t *reader, dicom_token_t *out_token);

/* Goes on behind the sequence whose DICOM_TOKEN_SEQUENCE was the last token. */
status_t dicom_reader_skip_sequence(dicom_reader_t *reader);

/* Goes on behind a top-level element that is known to take size bytes; those are there. */
void dicom_reader_pass(dicom_reader_t *reader, uint32_t tag, size_t size);

/* Values of two, four and eight bytes in the order of a token. */
uint16_t dicom_uint16(const uint8_t *bytes, bool big_endian);
uint32_t dicom_uint32(const uint8_t *bytes, bool big_endian);
uint64_t dicom_uint64(const uint8_t *bytes, bool big_endian);

/* A VR of PS3.5 table 6.2-1. */
bool dicom_vr_is_known(uint16_t vr);

/* A VR whose length has 32 bits in explicit VR.                                     PS3.5 7.1.2 */
bool dicom_vr_is_long(uint16_t vr);

/*
 * Steps through the fragments of encapsulated pixel data (the value of a DICOM_TOKEN_ENCAPSULATED
 * or what dicom_bulk_find() gave); the first is the Basic Offset Table. *position begins at 0.
 * false at the end; a fragment that goes on behind the end is cut.
 */
bool dicom_fragment_next(const uint8_t *value, size_t length, size_t *position,
                         const uint8_t **out_fragment, size_t *out_length);

#endif
