/*
 * dimse.yaml from anybody who may write it, the list of AE titles above all: refused with a sentence,
 * or a table of rules that lets in nobody whom no line names.
 */
#include "dimse/association/rules.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool holds)
{
    if (!holds)
        abort();
}

/* What a rule says is within the address family, and its own first address is of its range. */
static void check_rule(const rule_t *rule)
{
    char text[ADDRESS_TEXT_SIZE];
    address_t again;
    must(rule->ae_title[0] && strnlen(rule->ae_title, 17) <= 16);
    must(rule->range.prefix_bits <= 128);
    must(cidr_contains(&rule->range, &rule->range.network));
    address_format(&rule->range.network, text);
    must(address_parse(text, &again) == STATUS_OK);
    must(memcmp(&again, &rule->range.network, sizeof again) == 0);
}

static void check_rules(const dimse_config_t *config, const rules_t *rules)
{
    address_t here, bind;
    must(address_parse("127.0.0.1", &here) == STATUS_OK);
    must(address_parse(config->bind, &bind) == STATUS_OK);
    must(rules->rule_count == config->aes.count && rules->proxy_count == config->proxies.count);
    must(rules->rule_count > 0 || address_is_loopback(&bind));
    bool is_named = rules->rule_count == 0;
    for (size_t i = 0; i < rules->rule_count; i++) {
        const rule_t *rule = &rules->rules[i];
        check_rule(rule);
        must(rules_allow(rules, rule->ae_title, &rule->range.network));
        is_named |= strcmp(rule->ae_title, "*") == 0 && cidr_contains(&rule->range, &here);
    }
    must(rules_allow(rules, "none has this one", &here) == is_named);
    for (size_t i = 0; i < rules->proxy_count; i++)
        must(rules_is_proxy(rules, &rules->proxies[i].network));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    dimse_config_t config = {0};
    rules_t rules = {0};
    if (config_parse(dimse_config_fields, "dimse.yaml", (const char *)data, size, &config) !=
        STATUS_OK)
        return 0;
    status_t status = rules_create(&config, &rules);
    must(status == STATUS_OK || (status == STATUS_INVALID && !rules.rules && !rules.proxies));
    if (status == STATUS_OK)
        check_rules(&config, &rules);
    rules_destroy(&rules);
    config_destroy(dimse_config_fields, &config);
    return 0;
}
