#ifndef FERRY_CHIREDIS_SHIM_H
#define FERRY_CHIREDIS_SHIM_H

#include <hiredis/read.h>

// The type (REDIS_REPLY_...) of the item whose first byte was read and whose rest has not come yet,
// or 0 where there is none. Swift sees rstack as a tuple, which cannot be indexed.
static inline int chiredis_unfinished_type(const redisReader *reader) {
    if (reader->ridx < 0 || reader->ridx > 8 || reader->rstack[reader->ridx].type < 0) {
        return 0;
    }
    return reader->rstack[reader->ridx].type;
}

#endif
