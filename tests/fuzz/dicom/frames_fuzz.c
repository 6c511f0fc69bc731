#include "dicom/frames.h"

#include "pick_syntax.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Every frame is a run of spans, every span lies inside the dataset. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1)
        return 0;
    dicom_frames_t *frames = NULL;
    if (dicom_frames_locate(data + 1, size - 1, pick_syntax(data[0]), &frames) != STATUS_OK) {
        if (frames)
            abort();
        return 0;
    }
    for (uint32_t i = 0; i < frames->span_count; i++)
        if (frames->spans[i].offset > size - 1 ||
            frames->spans[i].length > size - 1 - frames->spans[i].offset)
            abort();
    if (frames->encapsulated) {
        for (uint32_t i = 0; i < frames->frame_count; i++)
            if (frames->frame_first[i] >= frames->frame_first[i + 1])
                abort();
        if (frames->frame_first[0] != 0 ||
            frames->frame_first[frames->frame_count] != frames->span_count)
            abort();
    } else if (frames->span_count != frames->frame_count) {
        abort();
    }
    dicom_frames_destroy(&frames);
    if (frames)
        abort();
    return 0;
}
