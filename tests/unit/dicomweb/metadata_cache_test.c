/* The metadata of series, made of records in a real pack and kept; an index that says what it is told. */
#include "dicomweb/metadata/metadata_cache.h"

#include "fixture.h"

#include "dicom/transfer_syntax.h"
#include "dicomweb/metadata/metadata_shelf.h"
#include "pack/writer.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#define STUDY "1.2.3"
#define BASE  "http://here/dicom-web"

enum { LONG = 150, SHORT = 5, ALL = LONG + SHORT, PIXELS = 20000, THREADS = 12, SMALL = 200000 };

static fixture_t fixture;
static dicomweb_t *dicomweb;         /* its */
static location_t places[ALL];       /* of the long series, then of the short one */
static const location_t *index_says; /* where any instance lies; NULL: nowhere */

/* ---- records --------------------------------------------------------------------------------- */

static void append_element(buffer_t *out, uint16_t group, uint16_t element, const char *vr,
                           const char *text)
{
    size_t length = strlen(text) + strlen(text) % 2;
    const uint8_t head[8] = {
        (uint8_t)group, (uint8_t)(group >> 8), (uint8_t)element, (uint8_t)(element >> 8),
        (uint8_t)vr[0], (uint8_t)vr[1],        (uint8_t)length,  0};
    buffer_append(out, head, sizeof head);
    buffer_append(out, text, strlen(text));
    if (strlen(text) % 2)
        buffer_append_byte(out, 0);
}

static void append_pixels(buffer_t *out)
{
    static const uint8_t pixels[PIXELS] = {0};
    const uint8_t head[12] = {0xe0, 0x7f, 0x10, 0, 'O', 'W', 0, 0, PIXELS & 255, PIXELS >> 8, 0, 0};
    buffer_append(out, head, sizeof head);
    buffer_append(out, pixels, PIXELS);
}

static status_t write_instance(pack_writer_t *writer, location_t *place)
{
    AUTO_BUFFER dataset = {0};
    append_element(&dataset, 0x0008, 0x0018, "UI", place->instance);
    append_element(&dataset, 0x0020, 0x000d, "UI", place->study);
    append_element(&dataset, 0x0020, 0x000e, "UI", place->series);
    pack_record_t record = {.pixel_data_offset = dataset.length,
                            .pixel_value_offset = dataset.length + 12,
                            .pixel_value_length = PIXELS};
    append_pixels(&dataset);
    snprintf(record.transfer_syntax_uid, sizeof record.transfer_syntax_uid, "%s",
             DICOM_EXPLICIT_LITTLE);
    static const uint8_t provenance[] = {0};
    TRY(pack_writer_begin(writer, PACK_RECORD_INSTANCE, sizeof provenance));
    TRY(pack_writer_append(writer, dataset.data, dataset.length));
    TRY(pack_writer_commit(writer, provenance, sizeof provenance, &record));
    snprintf(place->transfer_syntax, sizeof place->transfer_syntax, "%s", DICOM_EXPLICIT_LITTLE);
    place->pack = record.pack;
    place->record_offset = record.offset;
    place->dataset_offset = record.dataset_offset;
    place->dataset_length = record.dataset_length;
    place->pixel_data_offset = record.pixel_data_offset;
    place->pixel_value_offset = record.pixel_value_offset;
    place->pixel_value_length = record.pixel_value_length;
    return STATUS_OK;
}

static status_t write_all(void)
{
    pack_writer_t *writer = NULL;
    TRY(pack_writer_create(fixture.folder, &writer));
    for (int i = 0; i < ALL; i++) {
        snprintf(places[i].study, sizeof places[i].study, STUDY);
        int series = i < LONG ? 1 : 2;
        snprintf(places[i].series, sizeof places[i].series, STUDY ".%d", series);
        snprintf(places[i].instance, sizeof places[i].instance, STUDY ".%d.%d", series, i);
        TRY(write_instance(writer, &places[i]));
    }
    return pack_writer_seal(fixture.folder, &writer);
}

/* ---- an index -------------------------------------------------------------------------------- */

static status_t locate(void *state, const wire_call_t *call, const ProtobufCMessage *question,
                       ProtobufCMessage *answer)
{
    (void)state;
    (void)call;
    const Index__Locate *asked = (const Index__Locate *)question;
    Index__Located *reply = (Index__Located *)answer;
    if (!index_says)
        return (fail)(STATUS_NOT_FOUND, "there is no such instance");
    Index__Location *location = memory_allocate(sizeof *location);
    index__location__init(location);
    location->study_instance_uid = memory_copy_text(asked->study_instance_uid);
    location->series_instance_uid = memory_copy_text(asked->series_instance_uid);
    location->sop_instance_uid = memory_copy_text(asked->sop_instance_uid);
    location->sop_class_uid = memory_copy_text("1.2");
    location->transfer_syntax_uid = memory_copy_text(DICOM_EXPLICIT_LITTLE);
    location->pack = memory_copy_text(index_says->pack.text);
    location->record_offset = index_says->record_offset;
    location->dataset_offset = index_says->dataset_offset;
    location->dataset_length = index_says->dataset_length;
    reply->locations = memory_allocate(sizeof *reply->locations);
    reply->locations[0] = location;
    reply->n_locations = 1;
    return STATUS_OK;
}

static const wire_route_t index_routes[] = {
    WIRE_ROUTE(index, locate, located, locate, 0, "dicomweb"), WIRE_ROUTES_END};

/* ---- asking ---------------------------------------------------------------------------------- */

static metadata_entry_t *get(const location_t *locations, size_t count, const char *base)
{
    metadata_entry_t *entry = NULL;
    assert_int_equal(metadata_cache_get(dicomweb, locations, count,
                                        metadata_cache_generation(dicomweb->metadata), base,
                                        &entry),
                     STATUS_OK);
    return entry;
}

static void release(metadata_entry_t *entry)
{
    metadata_cache_release(dicomweb->metadata, &entry);
}

static metadata_entry_t *look_up(const location_t *locations, size_t count)
{
    uint8_t fingerprint[SHA256_SIZE];
    metadata_fingerprint(locations, count, fingerprint);
    return metadata_cache_look_up(dicomweb->metadata, locations->study, locations->series, BASE,
                                  fingerprint);
}

static bool is_kept(const location_t *locations, size_t count)
{
    metadata_entry_t *entry = look_up(locations, count);
    bool found = entry != NULL;
    release(entry);
    return found;
}

static void with_room_for(size_t bytes)
{
    metadata_cache_destroy(&dicomweb->metadata);
    dicomweb->metadata = metadata_cache_create(bytes);
}

/* ---- tests ----------------------------------------------------------------------------------- */

static void has_all_objects_in_order(void **state)
{
    (void)state;
    metadata_entry_t *entry = get(places, LONG, BASE);
    size_t next = 0;
    const metadata_half_t *half = entry->halves;
    assert_int_equal(entry->count, LONG);
    assert_int_equal(half[0].count, LONG / 2);
    assert_int_equal(half[1].count, LONG - LONG / 2);
    for (size_t i = 0, k = 0; i < LONG; i++, k++) {
        if (k == half->count) {
            assert_int_equal(next - 1, half->json.length);
            half++;
            next = k = 0;
        }
        const metadata_slice_t *slice = &half->slices[k];
        AUTO_FREE char *object =
            memory_copy_text_n((const char *)half->json.data + slice->offset, slice->length);
        AUTO_FREE char *uri =
            memory_format("\"7FE00010\":{\"vr\":\"OW\",\"BulkDataURI\":\"" BASE "/studies/" STUDY
                          "/series/" STUDY ".1/instances/" STUDY ".1.%zu/bulkdata/7FE00010\"}}",
                          i);
        assert_int_equal(slice->offset, next);
        assert_int_equal(slice->record_offset, places[i].record_offset);
        assert_int_equal(object[0], '{');
        assert_non_null(strstr(object, uri));
        next += slice->length + 1;
        if (k + 1 < half->count)
            assert_int_equal(half->json.data[next - 1], ',');
    }
    assert_int_equal(next - 1, half->json.length);
    release(entry);
}

static void *get_in_thread(void *argument)
{
    (void)argument;
    return get(places, LONG, BASE);
}

static void is_made_once_for_all_who_ask(void **state)
{
    (void)state;
    with_room_for(64 << 20);
    pthread_t threads[THREADS];
    void *entries[THREADS];
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, get_in_thread, NULL), 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], &entries[i]);
    for (int i = 0; i < THREADS; i++) {
        assert_ptr_equal(entries[i], entries[0]);
        release(entries[i]);
    }
}

static void other_records_are_another_entry(void **state)
{
    (void)state;
    metadata_entry_t *before = get(places, LONG, BASE);
    metadata_entry_t *after = get(places, LONG - 1, BASE);
    assert_int_equal(after->count, LONG - 1);
    assert_false(is_kept(places, LONG));
    assert_true(is_kept(places, LONG - 1));
    assert_int_equal(before->count, LONG); /* who has it still may send it */
    release(before);
    release(after);
    metadata_entry_t *elsewhere = get(places, LONG - 1, "http://there/dicom-web");
    assert_true(is_kept(places, LONG - 1));
    assert_non_null(
        strstr((char *)elsewhere->halves[0].json.data, "http://there/dicom-web/studies"));
    release(elsewhere);
}

static void assert_unpacks_to(const gzip_piece_t *piece, const buffer_t *json)
{
    assert_int_equal(piece->length, json->length);
    AUTO_FREE uint8_t *out = memory_allocate(json->length);
    z_stream stream = {.next_in = piece->blocks.data,
                       .avail_in = (uInt)piece->blocks.length,
                       .next_out = out,
                       .avail_out = (uInt)json->length};
    assert_int_equal(inflateInit2(&stream, -15), Z_OK);
    assert_int_equal(inflate(&stream, Z_SYNC_FLUSH), Z_OK);
    assert_int_equal(stream.total_out, json->length);
    assert_memory_equal(out, json->data, json->length);
    inflateEnd(&stream);
}

static void is_packed_once(void **state)
{
    (void)state;
    metadata_entry_t *entry = get(places, LONG, BASE);
    assert_true(metadata_cache_pack(dicomweb->metadata, entry));
    const uint8_t *packed = entry->halves[0].gzip.blocks.data;
    assert_true(metadata_cache_pack(dicomweb->metadata, entry));
    assert_ptr_equal(packed, entry->halves[0].gzip.blocks.data);
    for (size_t i = 0; i < METADATA_HALVES; i++)
        assert_unpacks_to(&entry->halves[i].gzip, &entry->halves[i].json);
    release(entry);
}

/* ---- bounds ---------------------------------------------------------------------------------- */

static void never_holds_more_than_it_may(void **state)
{
    (void)state;
    with_room_for(SMALL);
    assert_null(get(places, LONG, BASE)); /* over its share */
    for (int i = 0; i < 200; i++) {
        AUTO_FREE char *base = memory_format("http://host%d/dicom-web", i);
        metadata_entry_t *entry = get(places + LONG, SHORT, base);
        assert_non_null(entry);
        (void)metadata_cache_pack(dicomweb->metadata, entry);
        assert_true(dicomweb->metadata->bytes <= SMALL);
        release(entry);
    }
    assert_true(dicomweb->metadata->bytes > SMALL / 2);
}

static void keeps_one_that_takes_most_of_its_share(void **state)
{
    (void)state;
    with_room_for(64 << 20);
    metadata_entry_t *entry = get(places, LONG, BASE);
    size_t size = entry->shelf.cost;
    release(entry);
    with_room_for(METADATA_CACHE_SHARE * (size + size / 2));
    entry = get(places, LONG, BASE);
    assert_non_null(entry);
    assert_int_equal(entry->shelf.cost, size);
    release(entry);
}

static void what_is_being_sent_counts(void **state)
{
    (void)state;
    metadata_entry_t *held[1000] = {NULL};
    size_t count = 0;
    with_room_for(SMALL);
    for (bool has_room = true; has_room; count += has_room) {
        assert_true(count < 1000);
        AUTO_FREE char *base = memory_format("http://host%zu/dicom-web", count);
        held[count] = get(places + LONG, SHORT, base);
        has_room = held[count] != NULL;
        assert_true(dicomweb->metadata->bytes <= SMALL);
    }
    assert_true(count > 4);
    for (size_t i = 0; i < count; i++)
        release(held[i]);
    assert_true(dicomweb->metadata->bytes <= SMALL);
    metadata_entry_t *entry = get(places + LONG, SHORT, BASE);
    assert_non_null(entry);
    release(entry);
}

static void keeps_nothing_without_room(void **state)
{
    (void)state;
    with_room_for(0);
    assert_null(get(places + LONG, SHORT, BASE));
    assert_int_equal(dicomweb->metadata->bytes, 0);
    with_room_for(64 << 20);
}

/* ---- what is not true any more --------------------------------------------------------------- */

static void forgets_what_was_deleted(void **state)
{
    (void)state;
    release(get(places, LONG, BASE));
    release(get(places + LONG, SHORT, BASE));
    metadata_cache_forget(dicomweb->metadata, STUDY, STUDY ".2");
    assert_true(is_kept(places, LONG));
    assert_false(is_kept(places + LONG, SHORT));
    metadata_cache_forget(dicomweb->metadata, "1.2.4", "");
    assert_true(is_kept(places, LONG));
    metadata_cache_forget(dicomweb->metadata, STUDY, "");
    assert_false(is_kept(places, LONG));
    assert_int_equal(dicomweb->metadata->bytes, 0);
}

static void a_deletion_while_it_is_made_keeps_it_out(void **state)
{
    (void)state;
    metadata_entry_t *entry = NULL;
    uint64_t located = metadata_cache_generation(dicomweb->metadata);
    metadata_cache_forget(dicomweb->metadata, STUDY, "");
    assert_int_equal(metadata_cache_get(dicomweb, places + LONG, SHORT, located, BASE, &entry),
                     STATUS_OK);
    assert_int_equal(entry->count, SHORT);
    assert_false(is_kept(places + LONG, SHORT));
    release(entry);
    assert_int_equal(dicomweb->metadata->bytes, 0);
}

/* Compaction takes a pack away; a deletion goes before it. */
static void is_of_exactly_the_records_asked_for(void **state)
{
    static const struct {
        const location_t *series, *index_says;
        size_t count, moved;
    } cases[] = {
        {&places[LONG], NULL, SHORT, SHORT - 1},
        {&places[LONG], &places[0], SHORT, SHORT - 1},
        {&places[0], NULL, LONG, 0},        /* of a long one the halves are made side by side: */
        {&places[0], NULL, LONG, LONG - 1}, /* what one fails of, all does */
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        location_t moved[LONG];
        size_t count = cases[i].count;
        metadata_entry_t *entry = NULL;
        memcpy(moved, cases[i].series, count * sizeof *moved);
        memcpy(moved[cases[i].moved].pack.text, "01ARZ3NDEKTSV4RRFFQ69G5FAV", ULID_LENGTH);
        index_says = cases[i].index_says;
        assert_int_equal(metadata_cache_get(dicomweb, moved, count, 0, BASE, &entry),
                         STATUS_CONFLICT);
        assert_null(entry);
        assert_non_null(strstr(fail_detail(), "moved"));
        assert_false(is_kept(moved, count));
        assert_int_equal(dicomweb->metadata->bytes, 0);
    }
}

/* ---- a service without its server ------------------------------------------------------------- */

static int set_up(void **state)
{
    (void)state;
    if (!fixture_open(&fixture, index_routes))
        return -1;
    dicomweb = fixture.dicomweb;
    if (write_all() == STATUS_OK)
        return 0;
    print_error("%s\n", fail_detail());
    return -1;
}

static int tear_down(void **state)
{
    (void)state;
    return fixture_close(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(has_all_objects_in_order),
        cmocka_unit_test(is_made_once_for_all_who_ask),
        cmocka_unit_test(other_records_are_another_entry),
        cmocka_unit_test(is_packed_once),
        cmocka_unit_test(never_holds_more_than_it_may),
        cmocka_unit_test(keeps_one_that_takes_most_of_its_share),
        cmocka_unit_test(what_is_being_sent_counts),
        cmocka_unit_test(keeps_nothing_without_room),
        cmocka_unit_test(forgets_what_was_deleted),
        cmocka_unit_test(a_deletion_while_it_is_made_keeps_it_out),
        cmocka_unit_test(is_of_exactly_the_records_asked_for),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
