/*
 * Sends Part 10 files by C-STORE, each on an association of its own, as some modalities do.
 *
 *   dicom_store_each HOST PORT AE-TITLE SENDERS COUNT SALT FOLDER
 *
 * The first COUNT files of FOLDER by name, by SENDERS threads. SALT: six digits that replace those in
 * ".999.100000." of UIDs and "PX100000" of patient IDs, so that the same corpus is new studies. An image counts
 * from before connect() until the association is released. Prints one line of JSON.
 */
#include "part10.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum {
    FILES_MAX = 100000,
    SENDERS_MAX = 64,
    SALT_WITHIN = 16384, /* UIDs and patient ID lie before the pixels */
    PDU_MAX = 131072,    /* of what we write; a smaller limit of the peer's counts */
    ANSWER_MAX = 65536,
    PDV_HEAD = 12, /* PDU type, length; item length, context, flags */
};

typedef struct {
    buffer_t bytes;
    dicom_file_t head;
} image_t;

typedef struct {
    struct sockaddr_in address;
    const char *called;
    image_t *images;
    size_t count, next, stored;
    double *seconds; /* of each image */
} job_t;

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
}

static void give_up(const char *what, const char *why)
{
    fprintf(stderr, "store_each: %s: %s\n", what, why);
    exit(2);
}

/* ---- images ----------------------------------------------------------------------------------- */

static void make_new(buffer_t *bytes, const char *salt)
{
    static const char uid[] = ".999.100000.", patient[] = "PX100000";
    size_t end = bytes->length < SALT_WITHIN ? bytes->length : SALT_WITHIN;
    for (size_t i = 0; i + sizeof uid < end; i++) {
        if (!memcmp(bytes->data + i, uid, sizeof uid - 1))
            memcpy(bytes->data + i + 5, salt, 6);
        else if (!memcmp(bytes->data + i, patient, sizeof patient - 1))
            memcpy(bytes->data + i + 2, salt, 6);
    }
}

static void read_image(const char *path, const char *salt, image_t *out)
{
    if (!part10_read(path, &out->bytes))
        give_up(path, strerror(errno));
    make_new(&out->bytes, salt);
    size_t length = out->bytes.length;
    if (dicom_file_open(out->bytes.data,
                        length < DICOM_FILE_HEAD_MAX ? length : DICOM_FILE_HEAD_MAX,
                        &out->head) != STATUS_OK ||
        !out->head.has_meta)
        give_up(path, "no Part 10 file");
}

static int is_visible(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

static void read_folder(const char *folder, const char *salt, size_t count, job_t *job)
{
    struct dirent **names;
    int found = scandir(folder, &names, is_visible, alphasort);
    if (found <= 0)
        give_up(folder, "no files");
    job->count = (size_t)found < count ? (size_t)found : count;
    job->images = calloc(job->count, sizeof *job->images);
    job->seconds = calloc(job->count, sizeof *job->seconds);
    for (size_t i = 0; i < (size_t)found; i++) {
        char path[4096];
        snprintf(path, sizeof path, "%s/%s", folder, names[i]->d_name);
        if (i < job->count)
            read_image(path, salt, &job->images[i]);
        free(names[i]);
    }
    free(names);
}

/* ---- association                                                            PS3.8 9.3 ---------- */

static uint8_t *put16(uint8_t *at, size_t value)
{
    at[0] = (uint8_t)(value >> 8);
    at[1] = (uint8_t)value;
    return at + 2;
}

static uint8_t *put32(uint8_t *at, size_t value)
{
    return put16(put16(at, value >> 16), value & 0xffff);
}

static uint8_t *put_item(uint8_t *at, uint8_t type, const void *bytes, size_t length)
{
    at[0] = type;
    at[1] = 0;
    memcpy(put16(at + 2, length), bytes, length);
    return at + 4 + length;
}

/* The item's text; its room is that of the request. */
static uint8_t *put_text(uint8_t *at, uint8_t type, const char *text)
{
    return put_item(at, type, text, strlen(text));
}

static size_t put_request(uint8_t *request, const char *called, const image_t *image)
{
    uint8_t inner[512], *at = request + 6, *end;
    at = put32(at, 1 << 16); /* protocol version 1, reserved */
    memset(at, ' ', 32);
    memcpy(at, called, strlen(called));
    memcpy(at + 16, "BENCH", 5);
    memset(at + 32, 0, 32);
    at = put_text(at + 64, 0x10, "1.2.840.10008.3.1.1.1");
    memcpy(inner, (uint8_t[]){1, 0, 0, 0}, 4); /* presentation context 1 */
    end = put_text(inner + 4, 0x30, image->head.media_storage_sop_class_uid);
    end = put_text(end, 0x40, image->head.transfer_syntax_uid);
    at = put_item(at, 0x20, inner, (size_t)(end - inner));
    put32(inner + 4, PDU_MAX);
    memcpy(inner, (uint8_t[]){0x51, 0, 0, 4}, 4);
    end = put_text(inner + 8, 0x52, "2.25.277445364503074605603752262065525238906");
    at = put_item(at, 0x50, inner, (size_t)(end - inner));
    request[0] = 1;
    request[1] = 0;
    put32(request + 2, (size_t)(at - request - 6));
    return (size_t)(at - request);
}

static bool receive(int socket, void *bytes, size_t length)
{
    return recv(socket, bytes, length, MSG_WAITALL) == (ssize_t)length;
}

/* Type of the next PDU, its body in answer; 0 when there is none. */
static uint8_t read_pdu(int socket, uint8_t answer[ANSWER_MAX], size_t *out_length)
{
    uint8_t head[6];
    if (!receive(socket, head, sizeof head))
        return 0;
    size_t length = (size_t)head[2] << 24 | (size_t)head[3] << 16 | (size_t)head[4] << 8 | head[5];
    if (length > ANSWER_MAX || !receive(socket, answer, length))
        return 0;
    *out_length = length;
    return head[0];
}

/* What the peer takes in one PDU, when it accepted our context; 0 when it did not. */
static size_t accepted_length(const uint8_t *answer, size_t length)
{
    size_t limit = PDU_MAX;
    bool accepted = false;
    for (size_t at = 68; at + 8 <= length;) {
        size_t size = (size_t)answer[at + 2] << 8 | answer[at + 3];
        if (answer[at] == 0x21)
            accepted = answer[at + 6] == 0;
        if (answer[at] == 0x51) {
            size_t theirs = (size_t)answer[at + 4] << 24 | (size_t)answer[at + 5] << 16 |
                            (size_t)answer[at + 6] << 8 | answer[at + 7];
            limit = theirs && theirs < limit ? theirs : limit;
        }
        at += answer[at] == 0x50 ? 4 : 4 + size; /* user information: look inside */
    }
    return accepted ? limit : 0;
}

/* ---- C-STORE                                                          PS3.7 9.3.1 -------------- */

static uint8_t *put_element(uint8_t *at, unsigned element, const void *value, size_t length)
{
    size_t even = length + (length & 1);
    uint8_t head[8] = {
        0, 0, (uint8_t)element, (uint8_t)(element >> 8), (uint8_t)even, (uint8_t)(even >> 8), 0, 0};
    memcpy(at, head, sizeof head);
    memcpy(at + sizeof head, value, length);
    if (length & 1)
        at[sizeof head + length] = 0;
    return at + sizeof head + even;
}

static uint8_t *put_number(uint8_t *at, unsigned element, unsigned value)
{
    return put_element(at, element, (uint8_t[]){(uint8_t)value, (uint8_t)(value >> 8)}, 2);
}

static size_t put_command(uint8_t *command, const image_t *image)
{
    const char *sop_class = image->head.media_storage_sop_class_uid;
    const char *instance = image->head.media_storage_sop_instance_uid;
    uint8_t *at = command + 12;
    at = put_element(at, 0x0002, sop_class, strlen(sop_class));
    at = put_number(at, 0x0100, 1); /* C-STORE-RQ */
    at = put_number(at, 0x0110, 1);
    at = put_number(at, 0x0700, 0);
    at = put_number(at, 0x0800, 1);
    at = put_element(at, 0x1000, instance, strlen(instance));
    size_t rest = (size_t)(at - command - 12);
    put_element(command, 0, (uint8_t[]){(uint8_t)rest, (uint8_t)(rest >> 8), 0, 0}, 4);
    return (size_t)(at - command);
}

static bool send_all(int socket, struct iovec *parts, size_t count)
{
    while (count) {
        struct msghdr message = {.msg_iov = parts, .msg_iovlen = count < 512 ? count : 512};
        ssize_t sent = sendmsg(socket, &message, MSG_NOSIGNAL);
        if (sent <= 0)
            return false;
        for (; count && (size_t)sent >= parts->iov_len; parts++, count--)
            sent -= (ssize_t)parts->iov_len;
        if (count) {
            parts->iov_base = (uint8_t *)parts->iov_base + sent;
            parts->iov_len -= (size_t)sent;
        }
    }
    return true;
}

static void put_pdv(uint8_t head[PDV_HEAD], struct iovec *parts, const void *bytes, size_t length,
                    uint8_t flags)
{
    head[0] = 4;
    head[1] = 0;
    put32(put32(head + 2, length + 6), length + 2);
    head[10] = 1;
    head[11] = flags;
    parts[0] = (struct iovec){head, PDV_HEAD};
    parts[1] = (struct iovec){(void *)bytes, length};
}

/* Command and dataset in one gathering write. */
static bool send_store(int socket, const image_t *image, size_t pdu)
{
    uint8_t command[512];
    const uint8_t *dataset = image->bytes.data + image->head.dataset_offset;
    size_t left = image->bytes.length - image->head.dataset_offset;
    size_t chunk = pdu - 6, count = 1 + (left + chunk - 1) / chunk;
    uint8_t(*heads)[PDV_HEAD] = calloc(count, PDV_HEAD);
    struct iovec *parts = calloc(count * 2, sizeof *parts);
    put_pdv(heads[0], parts, command, put_command(command, image), 3);
    for (size_t i = 1; i < count; i++) {
        size_t length = left < chunk ? left : chunk;
        left -= length;
        put_pdv(heads[i], parts + 2 * i, dataset, length, left ? 0 : 2);
        dataset += length;
    }
    bool sent = send_all(socket, parts, count * 2);
    free(parts);
    free(heads);
    return sent;
}

/* Whether the answer's Status (0000,0900) is success. */
static bool read_status(int socket, uint8_t answer[ANSWER_MAX])
{
    size_t length;
    if (read_pdu(socket, answer, &length) != 4)
        return false;
    for (size_t at = 6; at + 10 <= length;) {
        size_t element = answer[at + 2] | (size_t)answer[at + 3] << 8;
        if (element == 0x0900)
            return answer[at + 8] == 0 && answer[at + 9] == 0;
        at += 8 + (answer[at + 4] | (size_t)answer[at + 5] << 8);
    }
    return false;
}

static bool store_on(int socket, const char *called, const image_t *image)
{
    uint8_t request[2048], answer[ANSWER_MAX];
    static const uint8_t release[10] = {5, 0, 0, 0, 0, 4};
    size_t length = put_request(request, called, image);
    if (send(socket, request, length, MSG_NOSIGNAL) != (ssize_t)length ||
        read_pdu(socket, answer, &length) != 2)
        return false;
    size_t pdu = accepted_length(answer, length);
    if (pdu < 512 || !send_store(socket, image, pdu) || !read_status(socket, answer))
        return false;
    return send(socket, release, sizeof release, MSG_NOSIGNAL) == (ssize_t)sizeof release &&
           read_pdu(socket, answer, &length) == 6;
}

static bool store(const job_t *job, const image_t *image)
{
    int connection = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;
    struct timeval limit = {.tv_sec = 60};
    setsockopt(connection, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    setsockopt(connection, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    bool stored = !connect(connection, (const void *)&job->address, sizeof job->address) &&
                  store_on(connection, job->called, image);
    close(connection);
    return stored;
}

static void *send_images(void *argument)
{
    job_t *job = argument;
    for (size_t i; (i = __atomic_fetch_add(&job->next, 1, __ATOMIC_RELAXED)) < job->count;) {
        double begin = now();
        if (store(job, &job->images[i]))
            __atomic_fetch_add(&job->stored, 1, __ATOMIC_RELAXED);
        job->seconds[i] = now() - begin;
    }
    return NULL;
}

static int by_value(const void *left, const void *right)
{
    double a = *(const double *)left, b = *(const double *)right;
    return (a > b) - (a < b);
}

static void report(job_t *job, double took)
{
    qsort(job->seconds, job->count, sizeof *job->seconds, by_value);
    printf("{\"op\": \"store_each\", \"ok\": %zu, \"fail\": %zu, \"sec\": %.4f, \"inst_s\": %.2f, "
           "\"p50_ms\": %.3f, \"p99_ms\": %.3f}\n",
           job->stored, job->count - job->stored, took, (double)job->stored / took,
           job->seconds[job->count / 2] * 1000, job->seconds[job->count * 99 / 100] * 1000);
}

int main(int count, char **arguments)
{
    if (count != 8 || strlen(arguments[3]) > 16 || strlen(arguments[6]) != 6)
        give_up("usage", "HOST PORT AE-TITLE SENDERS COUNT SALT FOLDER");
    job_t job = {
        .called = arguments[3],
        .address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(arguments[2]))}};
    size_t senders = (size_t)atoi(arguments[4]);
    if (!inet_aton(arguments[1], &job.address.sin_addr) || senders < 1 || senders > SENDERS_MAX)
        give_up(arguments[1], "no address, or too many senders");
    size_t images = (size_t)atol(arguments[5]);
    read_folder(arguments[7], arguments[6], images < FILES_MAX ? images : FILES_MAX, &job);
    pthread_t threads[SENDERS_MAX];
    double begin = now();
    for (size_t i = 0; i < senders; i++)
        pthread_create(&threads[i], NULL, send_images, &job);
    for (size_t i = 0; i < senders; i++)
        pthread_join(threads[i], NULL);
    report(&job, now() - begin);
    return job.stored == job.count ? 0 : 1;
}
