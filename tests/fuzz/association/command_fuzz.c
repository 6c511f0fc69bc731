/* Command sets: an answer for any bytes; the response to what is taken can be read again. */
#include "association/command.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    command_t command, echoed;
    if (command_parse(bytes, length, &command) != STATUS_OK)
        return 0;
    const command_response_t response = {.request = &command,
                                         .status = 0xC000,
                                         .offending_element = 0x00080018,
                                         .error_comment = "comment"};
    AUTO_BUFFER answer = {0};
    command_write_response(&answer, &response);
    if (answer.length % 2 || command_parse(answer.data, answer.length, &echoed) != STATUS_OK)
        abort();
    if (echoed.field != (command.field | COMMAND_RESPONSE) ||
        strcmp(echoed.affected_sop_instance_uid, command.affected_sop_instance_uid) != 0)
        abort();
    return 0;
}
