#ifndef FERRY_SANITIZING_H
#define FERRY_SANITIZING_H

/* Nothing to call: linking this target is all. See mutex.c. */

#endif
