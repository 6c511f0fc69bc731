/*
 * Records of packs as a broken or hostile writer may have left them: instances, deletions, decisions,
 * holds, of any type and with any bytes as their message. The index reads two packs, in one order and
 * then, as a rebuild does, in the other, and comes to the same answers.
 *
 * The input is a list of records:
 *
 *     0      1                 3              5
 *     | kind | length of       | length of    | message … | dataset … |
 *     |      | message (LE)    | dataset (LE) |
 *
 * kind: bits 0 to 3 are the record's type, bit 4 the pack, bit 5 takes the dataset as implicit VR, bit 6
 * gives it a transfer syntax that is none. The names of the two packs stand for FIRST and SECOND in a
 * message.
 */
#include "../../unit/index/support.h"
#include "log/log.h"
#include "../must.h"

#include <fcntl.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum {
    HEAD = 5,
    TYPE_BITS = 0x0F,
    SECOND_PACK = 0x10,
    IMPLICIT = 0x20,
    NO_SYNTAX = 0x40,
    RECORDS_MAX = 24
};

static const char placeholders[2][ULID_LENGTH + 1] = {"FF1RSTFF1RSTFF1RSTFF1RSTFF",
                                                      "SSECNDSSECNDSSECNDSSECNDSS"};

typedef struct {
    ulid_t names[2];
    uint64_t durable[2];
} packs_t;

static void name_packs(uint8_t *message, size_t length, const packs_t *packs)
{
    for (int i = 0; i < 2; i++)
        for (uint8_t *at = message;
             (at = memmem(at, (size_t)(message + length - at), placeholders[i], ULID_LENGTH));)
            memcpy(at, packs->names[i].text, ULID_LENGTH);
}

static void write_record(pack_writer_t *writer, uint8_t kind, const uint8_t *message,
                         size_t message_length, const uint8_t *dataset, size_t dataset_length)
{
    pack_record_t record = {0};
    const char *syntax = kind & NO_SYNTAX  ? "1.2\r\n\xFF"
                         : kind & IMPLICIT ? DICOM_IMPLICIT_LITTLE
                                           : DICOM_EXPLICIT_LITTLE;
    snprintf(record.transfer_syntax_uid, sizeof record.transfer_syntax_uid, "%s", syntax);
    must(pack_writer_begin(writer, (pack_record_type_t)(kind & TYPE_BITS), message_length) ==
             STATUS_OK,
         "begin");
    must(pack_writer_append(writer, dataset, dataset_length) == STATUS_OK, "append");
    must(pack_writer_commit(writer, message, message_length, &record) == STATUS_OK, "commit");
}

static size_t take(size_t wanted, size_t *left)
{
    size_t taken = wanted < *left ? wanted : *left;
    *left -= taken;
    return taken;
}

static void write_records(pack_writer_t *writers[2], const packs_t *packs, const uint8_t *data,
                          size_t size)
{
    for (int count = 0; size >= HEAD && count < RECORDS_MAX; count++) {
        uint8_t kind = data[0];
        size_t left = size - HEAD;
        size_t message_length = take((size_t)data[1] | (size_t)data[2] << 8, &left);
        size_t dataset_length = take((size_t)data[3] | (size_t)data[4] << 8, &left);
        AUTO_FREE uint8_t *message = memory_copy(data + HEAD, message_length);
        name_packs(message, message_length, packs);
        if (kind & TYPE_BITS)
            write_record(writers[kind & SECOND_PACK ? 1 : 0], kind, message, message_length,
                         data + HEAD + message_length, dataset_length);
        data += size - left;
        size = left;
    }
}

static void write_packs(bench_t *bench, const uint8_t *data, size_t size, packs_t *packs)
{
    pack_writer_t *writers[2] = {NULL, NULL};
    for (int i = 0; i < 2; i++) {
        must(pack_writer_create(bench->folder, &writers[i]) == STATUS_OK, "pack");
        packs->names[i] = pack_writer_pack(writers[i]);
    }
    write_records(writers, packs, data, size);
    for (int i = 0; i < 2; i++) {
        packs->durable[i] = pack_writer_durable_offset(writers[i]);
        must(pack_writer_seal(bench->folder, &writers[i]) == STATUS_OK, "seal");
    }
}

static void ingest(bench_t *bench, const packs_t *packs, int i)
{
    uint64_t committed = 0;
    if (packs->durable[i] <= PACK_BLOCK_SIZE)
        return; /* an empty pack is not sealed but removed */
    must(ingest_pack(bench->index, &packs->names[i], packs->durable[i], &committed) == STATUS_OK,
         "a pack cannot be taken in");
    must(committed == packs->durable[i], "a pack was not read to its end");
}

static int line_compare(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Across studies the order of answers is that of arrival, which is not the same. */
static void lines_sort(buffer_t *text)
{
    AUTO_FREE char *copy = memory_copy_text(buffer_text(text));
    AUTO_FREE char **lines = memory_allocate((text->length + 1) * sizeof *lines);
    size_t count = 0;
    for (char *rest = copy, *line; (line = strsep(&rest, "\n"));)
        lines[count++] = line;
    qsort(lines, count, sizeof *lines, line_compare);
    buffer_clear(text);
    for (size_t i = 0; i < count; i++)
        buffer_printf(text, "%s\n", lines[i]);
}

/* What is left behind: rows as queries see them, where bytes lie, counts, and the decisions. */
static void tell(bench_t *bench, buffer_t *out)
{
    for (int level = LEVEL_STUDY; level <= LEVEL_INSTANCE; level++)
        must(bench_find(bench, (level_t)level, NULL, 0, false, out) == STATUS_OK, "find");
    lines_append(bench,
                 "SELECT sop_instance_uid || ' ' || pack || ' ' || received_us || ' ' || source ||"
                 " ' ' || transfer_syntax_uid FROM instances"
                 " UNION ALL SELECT 'copy ' || sop_instance_uid || ' ' || pack || ' ' || conflict"
                 " FROM copies UNION ALL SELECT name || ' ' || value FROM counters"
                 " WHERE value <> 0 ORDER BY 1",
                 out);
    lines_append(bench,
                 "SELECT 'hold ' || study_instance_uid || ' ' || reason FROM holds"
                 " UNION ALL SELECT 'dead ' || sop_instance_uid || ' ' || origin_pack || ' ' ||"
                 " origin_sequence FROM buried ORDER BY 1",
                 out);
    lines_sort(out);
    must(text_is_utf8(buffer_text(out), out->length), "a database would refuse it");
    must(!strchr(buffer_text(out), '\r'), "a line of a header");
}

static void remove_index(bench_t *bench)
{
    char path[128];
    bench_stop(bench);
    snprintf(path, sizeof path, "%s/index", bench->folder);
    nftw(path, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    bench_t bench;
    packs_t packs;
    AUTO_BUFFER live = {0}, rebuilt = {0};
    if (size < HEAD)
        return 0;
    log_set_level(LOG_ERROR + 1); /* what cannot be read is many a line */
    bench_open(&bench);
    write_packs(&bench, data, size, &packs);
    ingest(&bench, &packs, 1);
    ingest(&bench, &packs, 0);
    tell(&bench, &live);
    remove_index(&bench);
    bench_start(&bench); /* reads all packs, the older one first */
    ingest(&bench, &packs, 0);
    ingest(&bench, &packs, 1);
    tell(&bench, &rebuilt);
    if (strcmp(buffer_text(&live), buffer_text(&rebuilt)) != 0) {
        fprintf(stderr, "live:\n%srebuilt:\n%s", buffer_text(&live), buffer_text(&rebuilt));
        must(false, "a rebuild comes to other rows");
    }
    bench_close(&bench);
    return 0;
}
