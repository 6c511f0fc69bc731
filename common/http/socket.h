#ifndef ZPACS_HTTP_SOCKET_H
#define ZPACS_HTTP_SOCKET_H

#include <civetweb.h>

/*
 * The descriptor of a connection, for what CivetWeb has no call for; -1: it cannot be told, so do
 * without. Of the thread that answers the connection: until its handler returns nobody closes it.
 */
int socket_of(struct mg_connection *connection);

#endif
