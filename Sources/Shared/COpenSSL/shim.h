#ifndef FERRY_COPENSSL_SHIM_H
#define FERRY_COPENSSL_SHIM_H

#include <openssl/evp.h>
#include <openssl/rand.h>

#endif
