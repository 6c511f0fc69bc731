#ifndef ZPACS_PACK_INSTANCE_H
#define ZPACS_PACK_INSTANCE_H

#include "dicom/file.h"
#include "dicom/instance.h"
#include "pack/writer.h"

/*
 * The last step of every way in (C-STORE, STOW-RS, import): what is known of an instance goes into
 * its record, and the record becomes durable.
 *
 * source  what only the way in knows: source, AE titles or user, peer, association; with
 *         pack_provenance_take_head() the head of a file. The time of receipt and the UIDs are added.
 *
 * Fails: as pack_writer_commit(); INVALID (too little room for the provenance) leaves the record in
 * progress, to be aborted.
 */
status_t pack_commit_instance(pack_writer_t *writer, const dicom_instance_t *instance,
                              const char *transfer_syntax_uid, const Pack__Provenance *source,
                              pack_record_t *out_record);

/*
 * Preamble (when it is not zero) and group 0002 of a file as received.                 PS3.10 7.1
 *
 * head  the bytes before the dataset, borrowed as long as provenance is used
 */
void pack_provenance_take_head(Pack__Provenance *provenance, const dicom_file_t *file,
                               const uint8_t *head);

#endif
