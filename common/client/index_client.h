#ifndef ZPACS_CLIENT_INDEX_CLIENT_H
#define ZPACS_CLIENT_INDEX_CLIENT_H

#include "base/status.h"
#include "index.pb-c.h"

/*
 * The stub of the service index: the only code that knows its wire. One per thread.
 * Replies are freed with the generated index__..._free_unpacked(reply, NULL).
 * All fail as wire_client_call() does, and with what the service said.
 */
typedef struct index_client index_client_t;

/* endpoint: as wire_client_open() takes it; with several replicas questions go round. */
status_t index_client_open(const char *endpoint, const char *keys_folder, const char *caller_name,
                           index_client_t **out_client);
void index_client_close(index_client_t **client);
void index_client_set_trace(index_client_t *client, const char *trace_id); /* "" for none */

/* Goes to the replica that all choose for this pack. BUSY: another one is reading it; the pack is
 * free about two seconds after that has stopped, so ask again soon. */
status_t index_client_pack_appended(index_client_t *client, const char *pack,
                                    uint64_t durable_offset, uint64_t outcomes_from, int timeout_ms,
                                    Index__PackIndexed **out_reply);
status_t index_client_find(index_client_t *client, const Index__Find *query,
                           Index__Found **out_reply);
status_t index_client_locate(index_client_t *client, const Index__Locate *query,
                             Index__Located **out_reply);
status_t index_client_delete(index_client_t *client, const Index__Delete *what,
                             Index__Deleted **out_reply);
status_t index_client_undelete(index_client_t *client, const Index__Undelete *what,
                               Index__Undeleted **out_reply);
status_t index_client_hold(index_client_t *client, const Index__Hold *what);
status_t index_client_release(index_client_t *client, const Index__Release *what);
status_t index_client_get_hold(index_client_t *client, const Index__GetHold *query,
                               Index__HoldState **out_reply);
status_t index_client_resolve(index_client_t *client, const Index__Resolve *what,
                              Index__Resolved **out_reply);
status_t index_client_changes(index_client_t *client, const Index__Changes *query,
                              Index__ChangeList **out_reply);
status_t index_client_statistics(index_client_t *client, Index__Statistics **out_reply);
status_t index_client_rebuild(index_client_t *client);
status_t index_client_conflicts(index_client_t *client, uint32_t limit, const char *after,
                                Index__ConflictList **out_reply);

/* For the courier: tell without waiting; see wire_client_send() and wire_client_receive(). */
status_t index_client_tell_pack_appended(index_client_t *client, const char *pack,
                                         uint64_t durable_offset, uint64_t *out_request_id);
status_t index_client_take_pack_indexed(index_client_t *client, uint64_t *out_request_id,
                                        status_t *out_status, uint64_t *out_committed_offset);
int index_client_fd(const index_client_t *client);

#endif
