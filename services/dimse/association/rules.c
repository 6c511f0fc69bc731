#include "dimse/association/rules.h"

#include "base/memory.h"
#include "base/text.h"

#include <stdlib.h>
#include <string.h>

static status_t parse_rule(const char *text, rule_t *out_rule)
{
    const char *at = strrchr(text, '@'); /* a title may hold an '@', an address cannot */
    if (!at || at == text || at - text > AE_TITLE_LENGTH_MAX)
        return fail(STATUS_INVALID, "aes: '%s' is not AE@address/bits", text);
    memset(out_rule->ae_title, 0, sizeof out_rule->ae_title);
    memcpy(out_rule->ae_title, text, (size_t)(at - text));
    return cidr_parse(at + 1, &out_rule->range);
}

static status_t parse_all(const dimse_config_t *config, rules_t *rules)
{
    for (; rules->rule_count < config->aes.count; rules->rule_count++)
        TRY(parse_rule(config->aes.items[rules->rule_count], &rules->rules[rules->rule_count]));
    for (; rules->proxy_count < config->proxies.count; rules->proxy_count++)
        TRY(cidr_parse(config->proxies.items[rules->proxy_count],
                       &rules->proxies[rules->proxy_count]));
    address_t bind;
    TRY(address_parse(config->bind, &bind));
    if (!address_is_loopback(&bind) && !rules->rule_count)
        return fail(STATUS_INVALID,
                    "bind %s can be reached by others: name who may connect in 'aes'",
                    config->bind);
    return STATUS_OK;
}

status_t rules_create(const dimse_config_t *config, rules_t *out_rules)
{
    rules_t rules = {.rules = memory_allocate(config->aes.count * sizeof *rules.rules),
                     .proxies = memory_allocate(config->proxies.count * sizeof *rules.proxies)};
    status_t status = parse_all(config, &rules);
    if (status == STATUS_OK)
        *out_rules = rules;
    else
        rules_destroy(&rules);
    return status;
}

void rules_destroy(rules_t *rules)
{
    free(rules->rules);
    free(rules->proxies);
    *rules = (rules_t){0};
}

bool rules_allow(const rules_t *rules, const char *calling_ae_title, const address_t *address)
{
    if (!rules->rule_count)
        return address_is_loopback(address);
    for (size_t i = 0; i < rules->rule_count; i++) {
        const rule_t *rule = &rules->rules[i];
        bool title =
            strcmp(rule->ae_title, "*") == 0 || strcmp(rule->ae_title, calling_ae_title) == 0;
        if (title && cidr_contains(&rule->range, address))
            return true;
    }
    return false;
}

bool rules_is_proxy(const rules_t *rules, const address_t *address)
{
    for (size_t i = 0; i < rules->proxy_count; i++)
        if (cidr_contains(&rules->proxies[i], address))
            return true;
    return false;
}
