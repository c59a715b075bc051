#ifndef FERRY_CLIBFUZZER_SHIM_H
#define FERRY_CLIBFUZZER_SHIM_H

#include <stddef.h>
#include <stdint.h>

// libFuzzer's loop ("libFuzzer, a library for coverage-guided fuzz testing", Using libFuzzer as a library).
int LLVMFuzzerRunDriver(int *argc, char ***argv, int (*callback)(const uint8_t *data, size_t size));

#endif
