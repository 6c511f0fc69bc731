/*
 * zpacs-dimse-zygote: forks the processes of associations. dimse starts it, with one end of a channel as
 * descriptor 3, its own environment, and the path of its configuration file if it has one.
 */
#include "dimse/zygote/zygote.h"

#include <stdio.h>

int main(int count, char **arguments)
{
    static dimse_config_t config;
    static rules_t rules;
    const child_settings_t settings = {&config, &rules};
    status_t status = config_load(dimse_config_fields, count > 1 ? arguments[1] : NULL, &config);
    if (status == STATUS_OK)
        status = rules_create(&config, &rules);
    if (status == STATUS_OK)
        status = zygote_run(&settings);
    if (status != STATUS_OK)
        fprintf(stderr, "dimse-zygote: %s\n", fail_detail());
    return status == STATUS_OK ? 0 : 1;
}
