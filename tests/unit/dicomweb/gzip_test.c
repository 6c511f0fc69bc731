/* Pieces that were compressed one by one are one gzip member, as zlib reads it. */
#include "dicomweb/form/gzip.h"

#include "base/memory.h"

#include <string.h>
#include <zlib.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

static void takes_gzip(void **state)
{
    static const struct {
        const char *header;
        bool taken;
    } cases[] = {
        {NULL, false},
        {"", false},
        {"gzip", true},
        {"deflate, gzip, br", true},
        {"GZIP", true},
        {"gzip;q=0.5", true},
        {"gzip ; q=0.001", true},
        {"gzip;q=0", false},
        {"gzip; q=0.000, identity", false},
        {"br;q=1.0, gzip;q=0, *;q=0.1", false},
        {"br, deflate", false},
        {"gzipped", false},
        {"identity", false},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (gzip_is_accepted(cases[i].header) != cases[i].taken)
            fail_msg("%s", cases[i].header ? cases[i].header : "none");
}

/* ---- joining --------------------------------------------------------------------------------- */

typedef struct {
    buffer_t plain, member;
    gzip_sum_t sum;
} joint_t;

static void begin(joint_t *joint)
{
    uint8_t head[GZIP_HEAD_SIZE];
    *joint = (joint_t){0};
    buffer_append(&joint->member, head, gzip_head(head));
}

static void add_text(joint_t *joint, const char *text)
{
    uint8_t block[GZIP_TEXT_HEAD + GZIP_TEXT_MAX];
    buffer_append(&joint->member, block, gzip_text(&joint->sum, text, block));
    buffer_append_text(&joint->plain, text);
}

static void add_piece(joint_t *joint, const buffer_t *bytes)
{
    gzip_piece_t piece;
    gzip_piece_make(bytes->data, bytes->length, &piece);
    gzip_count(&joint->sum, &piece);
    buffer_append(&joint->member, piece.blocks.data, piece.blocks.length);
    buffer_append(&joint->plain, bytes->data, bytes->length);
    gzip_piece_destroy(&piece);
}

/* zlib checks the checksum and the length; nothing may follow. */
static void check(joint_t *joint)
{
    uint8_t tail[GZIP_TAIL_SIZE];
    buffer_append(&joint->member, tail, gzip_tail(&joint->sum, tail));
    AUTO_FREE uint8_t *out = memory_allocate(joint->plain.length + 1);
    z_stream stream = {.next_in = joint->member.data,
                       .avail_in = (uInt)joint->member.length,
                       .next_out = out,
                       .avail_out = (uInt)joint->plain.length + 1};
    assert_int_equal(inflateInit2(&stream, 15 + 16), Z_OK);
    assert_int_equal(inflate(&stream, Z_FINISH), Z_STREAM_END);
    assert_int_equal(stream.avail_in, 0);
    assert_int_equal(stream.total_out, joint->plain.length);
    if (joint->plain.length)
        assert_memory_equal(out, joint->plain.data, joint->plain.length);
    inflateEnd(&stream);
    buffer_destroy(&joint->plain);
    buffer_destroy(&joint->member);
}

static void fill(buffer_t *bytes, size_t length, unsigned seed)
{
    buffer_clear(bytes);
    for (size_t i = 0; i < length; i++) {
        seed = seed * 1103515245 + 12345;
        buffer_append_byte(bytes, (uint8_t)(seed >> (seed & 0x10000 ? 16 : 30)));
    }
}

static void joins_pieces(void **state)
{
    static const size_t lengths[] = {0, 1, 7, 65535, 65536, 300000, 2, 1000000};
    (void)state;
    AUTO_BUFFER bytes = {0};
    joint_t joint;
    begin(&joint);
    add_text(&joint, "[");
    for (unsigned i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        fill(&bytes, lengths[i], i);
        add_piece(&joint, &bytes);
        add_text(&joint, i % 2 ? "," : "12345678");
    }
    add_text(&joint, "]");
    check(&joint);
}

static void joins_none(void **state)
{
    (void)state;
    joint_t joint;
    begin(&joint);
    check(&joint);
    begin(&joint);
    add_text(&joint, "");
    add_text(&joint, "[]");
    check(&joint);
}

/* The same piece twice: it does not look back to what stood before it. */
static void a_piece_may_come_again(void **state)
{
    (void)state;
    AUTO_BUFFER bytes = {0};
    joint_t joint;
    fill(&bytes, 50000, 3);
    begin(&joint);
    add_piece(&joint, &bytes);
    add_piece(&joint, &bytes);
    check(&joint);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(takes_gzip),
        cmocka_unit_test(joins_pieces),
        cmocka_unit_test(joins_none),
        cmocka_unit_test(a_piece_may_come_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
