#include "index/rows/locks.h"

#include "base/memory.h"

#include <stdlib.h>

/* FNV-1a, over the terminating NUL too, so that ("AB", "C") is not ("A", "BC"). */
static uint64_t hash(uint64_t seed, const char *text)
{
    do
        seed = (seed ^ (uint8_t)*text) * UINT64_C(0x100000001B3);
    while (*text++);
    return seed;
}

#define SEED UINT64_C(0xCBF29CE484222325)

static int64_t study_key(const char *uid)
{
    return (int64_t)hash(hash(SEED, "study"), uid);
}

static void add(locks_t *locks, int64_t key)
{
    if (locks->count && locks->keys[locks->count - 1] == key)
        return; /* as of the record before: the usual case */
    if (locks->count == locks->capacity) {
        locks->capacity = locks->capacity ? 2 * locks->capacity : 64;
        locks->keys = memory_resize(locks->keys, locks->capacity * sizeof *locks->keys);
    }
    locks->keys[locks->count++] = key;
}

void locks_add_study(locks_t *locks, const char *study_instance_uid)
{
    add(locks, study_key(study_instance_uid));
}

void locks_add_patient(locks_t *locks, const char *patient_id, const char *issuer)
{
    add(locks, (int64_t)hash(hash(hash(SEED, "patient"), patient_id), issuer));
}

static int compare(const void *a, const void *b)
{
    int64_t left = *(const int64_t *)a, right = *(const int64_t *)b;
    return left < right ? -1 : left > right;
}

void locks_sort(locks_t *locks)
{
    size_t kept = 0;
    if (locks->count)
        qsort(locks->keys, locks->count, sizeof *locks->keys, compare);
    for (size_t i = 0; i < locks->count; i++)
        if (kept == 0 || locks->keys[kept - 1] != locks->keys[i])
            locks->keys[kept++] = locks->keys[i];
    locks->count = locks->sorted = kept;
}

bool locks_hold_study(const locks_t *locks, const char *study_instance_uid)
{
    int64_t key = study_key(study_instance_uid);
    return locks->sorted &&
           bsearch(&key, locks->keys, locks->sorted, sizeof *locks->keys, compare) != NULL;
}

void locks_clear(locks_t *locks)
{
    locks->count = locks->sorted = 0;
}

void locks_destroy(locks_t *locks)
{
    free(locks->keys);
    *locks = (locks_t){0};
}
