#ifndef ZPACS_CLI_IMPORT_ZIP_H
#define ZPACS_CLI_IMPORT_ZIP_H

#include "import_file.h"

/* Stores the entries of a ZIP; their names are data, never paths. */
status_t import_zip(import_t *import, const char *path);

#endif
