#ifndef ZPACS_INDEX_INDEX_H
#define ZPACS_INDEX_INDEX_H

#include "index.pb-c.h"
#include "index/ingest/batch.h"
#include "index/changes/changes.h"
#include "index/config.h"
#include "index/ingest/progress.h"
#include "index/rows/rows.h"
#include "pack/pool.h"
#include "pack/reserve.h"
#include "wire/wire.h"

#include <pthread.h>
#include <stdatomic.h>

enum { ANNOUNCED_MAX = 1024 };

/* What a living writer has said is durable, and we have not read yet. */
typedef struct {
    ulid_t pack;
    uint64_t durable;
} announced_t;

/*
 * The service's state. What stands below `writing` is touched only with that mutex held: by lane 0
 * (the writing lane) and by the thread that replays packs at start and for a rebuild.
 */
typedef struct index {
    const index_config_t *config;
    char *folder;   /* <data>/index; with PostgreSQL <data>/index/<replica> */
    char *location; /* of the database: <folder>/index.db or a connection URI */
    char *replica;  /* name of this process among those that share the database */
    int lock_fd;    /* one index per folder */
    pack_store_t *store;
    wire_server_t *server;
    _Atomic(wire_publisher_t *) doorbell; /* NULL: none, or not yet: the replay runs before it */

    pthread_mutex_t writing;
    database_t *writer;
    rows_t rows;
    pack_pool_t *pool;
    pack_reserve_t *reserve; /* NULL: another replica on this folder holds it */
    batch_t *batch;
    entry_t entry; /* of outcomes; its memory is used again and again */
    progress_t progress;
    bool has_attempts; /* some record crashed us before */
    announced_t announced[ANNOUNCED_MAX];
    size_t announced_count;
    int64_t next_full_scan_ms, next_sweep_ms, next_ring_ms;
    uint64_t session; /* of the database, at the last scan */

    int64_t calendar_us; /* ahead of the monotonic clock: of compaction_clock.c alone */
    pthread_t compactor; /* if compactor_runs */
    bool compactor_runs;
    pthread_t replay;
    atomic_bool replay_runs, stopping, rebuilding, database_ok;
    atomic_int_fast64_t rebuilt_instances, lag_bytes, lane_alive_ms;
} index_t;

/* state.c */
status_t index_open(const index_config_t *config, index_t **out_index);
void index_close(index_t **index);
bool index_lock(index_t *index, int64_t deadline_ms); /* false: the writer is busy until then */
void index_unlock(index_t *index);
void index_taken_over(void *index, const ulid_t *pack, uint64_t durable); /* for pack_pool_* */
void index_yield(index_t *index); /* in a replay: lets waiting messages in between */
void index_pause(index_t *index); /* with the writer unlocked */

/* doorbell.c: tells whoever listens how far the change feed has got, if this replica numbers it. */
status_t index_doorbell_start(index_t *index, const char *keys_folder);
void index_ring(index_t *index);    /* about every second */
void index_changed(index_t *index); /* behind a transaction: rings if it has numbered changes */

/* ingest.c: reads a pack from its committed offset up to limit.
 * Fails: BUSY (another replica reads it now, or is in the way). */
status_t ingest_pack(index_t *index, const ulid_t *pack, uint64_t limit, uint64_t *out_committed);
/* outcomes.c: what became of the records in [from, committed). */
status_t ingest_outcomes(index_t *index, const ulid_t *pack, uint64_t from, uint64_t committed,
                         Index__PackIndexed *reply);

/* recover.c: finds what no message told of. */
void recover_announce(index_t *index, const ulid_t *pack, uint64_t durable);
status_t recover_remember(index_t *index); /* before rows go: what was committed is durable */
status_t recover_scan(index_t *index, bool sealed_too);
status_t recover_start(index_t *index); /* the thread that reads all packs */

/* rebuild.c */
status_t rebuild_start(index_t *index);   /* BUSY while one runs */
status_t rebuild_prepare(index_t *index); /* at start: when the way of extracting has changed */
status_t rebuild_finish(index_t *index);
status_t rebuild_follow(index_t *index); /* another replica may have started one */

/* event_write.c: a decision into a pack of ours, durable; then what follows from it into the rows.
 * On a full disk the reserve is given up for it. Fails: UNAVAILABLE, TOO_LARGE. */
status_t event_write(index_t *index, pack_record_type_t type, const ProtobufCMessage *message,
                     pack_record_t *out_record);
status_t event_take_in(index_t *index, const pack_record_t *record);
void reserve_start(index_t *index);
void reserve_tend(index_t *index); /* every minute or so: fills it again */

/* remove.c */
status_t object_check(const char *study, const char *series, const char *sop); /* INVALID */
status_t decider_check(const char *user, const char *reason);                  /* TOO_LARGE */
status_t remove_run(index_t *index, const Index__Delete *what, uint64_t *out_instances);

/* undelete.c */
status_t undelete_run(index_t *index, const Index__Undelete *what, Index__Undeleted *reply);

/* hold.c */
status_t hold_run(index_t *index, const Index__Hold *what);
status_t release_run(index_t *index, const Index__Release *what);
status_t hold_read(database_t *reader, const Index__GetHold *query, Index__HoldState *reply);
status_t hold_check(database_t *database, const char *study); /* CONFLICT, and why: it is held */

/* resolve.c; remake.c: the instance that a record becomes under a UID of its own */
status_t resolve_run(index_t *index, const Index__Resolve *what, Index__Resolved *reply);
status_t remake_run(index_t *index, const pack_record_t *old, uid_text_t out_sop_instance_uid,
                    pack_record_t *out_made);

/* locate.c */
status_t locate_run(database_t *reader, const Index__Locate *query, Index__Located *reply);
/* Asks for some instance, and forgets it: the first question of somebody finds its statements
 * prepared, and the pages on the way in memory. */
void locate_warm(database_t *reader);

/* statistics.c */
status_t statistics_read(index_t *index, database_t *reader, Index__Statistics *reply);
status_t conflicts_list(database_t *reader, const Index__ListConflicts *query,
                        Index__ConflictList *reply);

/* routes.c */
extern const wire_route_t index_routes[];
void *index_lane_open(void *context, int lane);
void index_lane_close(void *context, int lane, void *state);
void index_lane_idle(void *context, int lane, void *state);

#endif
