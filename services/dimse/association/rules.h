#ifndef ZPACS_DIMSE_RULES_H
#define ZPACS_DIMSE_RULES_H

#include "dimse/door/address.h"
#include "dimse/config.h"

#include <stddef.h>

/*
 * Who may connect. An AE title is a label, not a credential: each is bound to an address range.
 * Without any rule only this machine may connect, and then as anyone.
 */
typedef struct {
    char ae_title[17]; /* "*": any */
    cidr_t range;
} rule_t;

typedef struct {
    rule_t *rules;
    size_t rule_count;
    cidr_t *proxies;
    size_t proxy_count;
} rules_t;

/*
 * Reads aes ("AE@cidr") and proxies (cidr) of the configuration.
 * Fails: INVALID (a line that is neither; or a bind address that others can reach and no rule).
 */
status_t rules_create(const dimse_config_t *config, rules_t *out_rules);
void rules_destroy(rules_t *rules);

bool rules_allow(const rules_t *rules, const char *calling_ae_title, const address_t *address);
bool rules_is_proxy(const rules_t *rules, const address_t *address);

#endif
