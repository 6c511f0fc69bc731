#ifndef ZPACS_INDEX_LOCKS_H
#define ZPACS_INDEX_LOCKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * What a transaction holds against other replicas: studies and patients, by a hash of their
 * identifiers. All are taken at once and in ascending order (database_lock()), before any row is
 * read, so that two transactions never wait for each other; what turns out to be needed later
 * makes the transaction start again with it. Two identifiers with one hash only wait in vain.
 */
typedef struct {
    int64_t *keys;
    size_t count, capacity;
    size_t sorted; /* the first so many are taken: ascending, without repetition */
} locks_t;

void locks_add_study(locks_t *locks, const char *study_instance_uid);
void locks_add_patient(locks_t *locks, const char *patient_id, const char *issuer);
bool locks_hold_study(const locks_t *locks, const char *study_instance_uid);

void locks_sort(locks_t *locks);  /* before they are taken */
void locks_clear(locks_t *locks); /* keeps the memory */
void locks_destroy(locks_t *locks);

#endif
