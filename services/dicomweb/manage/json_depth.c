#include "dicomweb/manage/json_depth.h"

bool json_is_shallow(const void *text, size_t length, size_t max)
{
    const char *at = text;
    size_t depth = 0;
    bool in_string = false;
    for (size_t i = 0; i < length; i++) {
        char c = at[i];
        if (in_string && c == '\\')
            i++; /* whatever it is, it ends no string */
        else if (c == '"')
            in_string = !in_string;
        else if (!in_string && (c == '[' || c == '{') && ++depth > max)
            return false;
        else if (!in_string && (c == ']' || c == '}') && depth > 0)
            depth--;
    }
    return true;
}
