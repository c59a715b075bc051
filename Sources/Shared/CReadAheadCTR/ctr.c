/*
 * AES in counter mode for callers that encrypt sixteen bytes at a time, as libssh2 1.10 does: each of its calls costs
 * OpenSSL more than the block itself. An OpenSSL provider with the three AES-CTR ciphers, which takes its key stream
 * from OpenSSL's own implementation a page at a time and combines the caller's bytes with it. No cryptography is
 * implemented here. Needs OpenSSL 3; without it nothing is registered and libssh2 works as before.
 */

#include "CReadAheadCTR.h"

#include <openssl/opensslv.h>

#if OPENSSL_VERSION_MAJOR >= 3

#include <openssl/core_dispatch.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <openssl/provider.h>
#include <string.h>

#define FERRY_CTR_PAGE 4096
#define FERRY_CTR_FIRST 64

typedef struct {
    EVP_CIPHER_CTX *inner;      /* OpenSSL's cipher, which makes the key stream */
    const char *name;
    size_t key_length;
    size_t filled;              /* bytes of key stream in the page */
    size_t used;                /* of these, bytes already combined */
    unsigned char page[FERRY_CTR_PAGE];
} ferry_ctr;

static ferry_ctr *ferry_ctr_new(const char *name, size_t key_length)
{
    ferry_ctr *ctr = (ferry_ctr *)OPENSSL_zalloc(sizeof(*ctr));
    if (!ctr) return NULL;
    ctr->name = name;
    ctr->key_length = key_length;
    ctr->inner = EVP_CIPHER_CTX_new();
    if (!ctr->inner) {
        OPENSSL_free(ctr);
        return NULL;
    }
    return ctr;
}

static void *ferry_ctr_new_128(void *provider) { (void)provider; return ferry_ctr_new("AES-128-CTR", 16); }
static void *ferry_ctr_new_192(void *provider) { (void)provider; return ferry_ctr_new("AES-192-CTR", 24); }
static void *ferry_ctr_new_256(void *provider) { (void)provider; return ferry_ctr_new("AES-256-CTR", 32); }

static void ferry_ctr_free(void *context)
{
    ferry_ctr *ctr = (ferry_ctr *)context;
    if (!ctr) return;
    EVP_CIPHER_CTX_free(ctr->inner);
    OPENSSL_clear_free(ctr, sizeof(*ctr));
}

static void *ferry_ctr_duplicate(void *context)
{
    ferry_ctr *from = (ferry_ctr *)context;
    ferry_ctr *to = from ? ferry_ctr_new(from->name, from->key_length) : NULL;
    if (!to) return NULL;
    if (EVP_CIPHER_CTX_get0_cipher(from->inner) && !EVP_CIPHER_CTX_copy(to->inner, from->inner)) {
        ferry_ctr_free(to);
        return NULL;
    }
    to->filled = from->filled;
    to->used = from->used;
    memcpy(to->page, from->page, sizeof(to->page));
    return to;
}

/* Counter mode encrypts and decrypts alike. Key or vector may come later, or anew. */
static int ferry_ctr_start(void *context, const unsigned char *key, size_t key_length, const unsigned char *vector,
                           size_t vector_length, const OSSL_PARAM parameters[])
{
    ferry_ctr *ctr = (ferry_ctr *)context;
    EVP_CIPHER *cipher = NULL;
    int done;
    (void)parameters;
    if ((key && key_length != ctr->key_length) || (vector && vector_length != 16)) return 0;
    if (!EVP_CIPHER_CTX_get0_cipher(ctr->inner)) {
        cipher = EVP_CIPHER_fetch(NULL, ctr->name, "provider=default");
        if (!cipher) return 0;
    }
    done = EVP_EncryptInit_ex2(ctr->inner, cipher, key, vector, NULL);
    EVP_CIPHER_free(cipher);
    if (key || vector) ctr->filled = ctr->used = 0;
    return done;
}

static const unsigned char ferry_ctr_zeros[FERRY_CTR_PAGE];

/* Any number of bytes, with more key stream where it is used up. */
__attribute__((noinline))
static int ferry_ctr_crypt_any(ferry_ctr *ctr, unsigned char *out, size_t *out_length, size_t out_size,
                               const unsigned char *in, size_t in_length)
{
    size_t done = 0;
    if (out_size < in_length) return 0;
    while (done < in_length) {
        size_t count = ctr->filled - ctr->used;
        const unsigned char *stream;
        size_t index;
        if (count == 0) {
            int length = 0;
            /* Little at first: OpenSSL's own random generator starts anew for every few bytes. */
            size_t next = ctr->filled ? ctr->filled * 8 : FERRY_CTR_FIRST;
            if (next > FERRY_CTR_PAGE) next = FERRY_CTR_PAGE;
            ctr->filled = ctr->used = 0;
            if (!EVP_EncryptUpdate(ctr->inner, ctr->page, &length, ferry_ctr_zeros, (int)next)) return 0;
            if (length != (int)next) return 0;
            ctr->filled = count = next;
        }
        if (count > in_length - done) count = in_length - done;
        stream = ctr->page + ctr->used;
        for (index = 0; index < count; index++) out[done + index] = in[done + index] ^ stream[index];
        ctr->used += count;
        done += count;
    }
    *out_length = in_length;
    return 1;
}

/* What libssh2 calls for every sixteen bytes: nothing here but what these need. */
static int ferry_ctr_crypt(void *context, unsigned char *out, size_t *out_length, size_t out_size,
                           const unsigned char *in, size_t in_length)
{
    ferry_ctr *ctr = (ferry_ctr *)context;
    if (in_length == 16 && out_size >= 16 && ctr->filled - ctr->used >= 16) {
        unsigned long long a[2], b[2];
        memcpy(a, in, 16);
        memcpy(b, ctr->page + ctr->used, 16);
        a[0] ^= b[0];
        a[1] ^= b[1];
        memcpy(out, a, 16);
        ctr->used += 16;
        *out_length = 16;
        return 1;
    }
    return ferry_ctr_crypt_any(ctr, out, out_length, out_size, in, in_length);
}

static int ferry_ctr_finish(void *context, unsigned char *out, size_t *out_length, size_t out_size)
{
    (void)context;
    (void)out;
    (void)out_size;
    *out_length = 0;
    return 1;
}

static int ferry_ctr_set(OSSL_PARAM parameters[], const char *name, size_t value)
{
    OSSL_PARAM *parameter = OSSL_PARAM_locate(parameters, name);
    return !parameter || OSSL_PARAM_set_size_t(parameter, value);
}

static int ferry_ctr_describe(OSSL_PARAM parameters[], size_t key_length)
{
    OSSL_PARAM *mode = OSSL_PARAM_locate(parameters, OSSL_CIPHER_PARAM_MODE);
    if (mode && !OSSL_PARAM_set_uint(mode, EVP_CIPH_CTR_MODE)) return 0;
    return ferry_ctr_set(parameters, OSSL_CIPHER_PARAM_KEYLEN, key_length)
        && ferry_ctr_set(parameters, OSSL_CIPHER_PARAM_IVLEN, 16)
        && ferry_ctr_set(parameters, OSSL_CIPHER_PARAM_BLOCK_SIZE, 1);
}

static int ferry_ctr_describe_128(OSSL_PARAM parameters[]) { return ferry_ctr_describe(parameters, 16); }
static int ferry_ctr_describe_192(OSSL_PARAM parameters[]) { return ferry_ctr_describe(parameters, 24); }
static int ferry_ctr_describe_256(OSSL_PARAM parameters[]) { return ferry_ctr_describe(parameters, 32); }

static int ferry_ctr_get(void *context, OSSL_PARAM parameters[])
{
    ferry_ctr *ctr = (ferry_ctr *)context;
    return ferry_ctr_set(parameters, OSSL_CIPHER_PARAM_KEYLEN, ctr->key_length)
        && ferry_ctr_set(parameters, OSSL_CIPHER_PARAM_IVLEN, 16);
}

typedef void (*ferry_function)(void);

#define FERRY_CTR_FUNCTIONS(bits)                                                                   \
    static const OSSL_DISPATCH ferry_ctr_functions_##bits[] = {                                     \
        {OSSL_FUNC_CIPHER_NEWCTX, (ferry_function)ferry_ctr_new_##bits},                            \
        {OSSL_FUNC_CIPHER_FREECTX, (ferry_function)ferry_ctr_free},                                 \
        {OSSL_FUNC_CIPHER_DUPCTX, (ferry_function)ferry_ctr_duplicate},                             \
        {OSSL_FUNC_CIPHER_ENCRYPT_INIT, (ferry_function)ferry_ctr_start},                           \
        {OSSL_FUNC_CIPHER_DECRYPT_INIT, (ferry_function)ferry_ctr_start},                           \
        {OSSL_FUNC_CIPHER_UPDATE, (ferry_function)ferry_ctr_crypt},                                 \
        {OSSL_FUNC_CIPHER_FINAL, (ferry_function)ferry_ctr_finish},                                 \
        {OSSL_FUNC_CIPHER_CIPHER, (ferry_function)ferry_ctr_crypt},                                 \
        {OSSL_FUNC_CIPHER_GET_PARAMS, (ferry_function)ferry_ctr_describe_##bits},                   \
        {OSSL_FUNC_CIPHER_GET_CTX_PARAMS, (ferry_function)ferry_ctr_get},                           \
        {0, NULL}};

FERRY_CTR_FUNCTIONS(128)
FERRY_CTR_FUNCTIONS(192)
FERRY_CTR_FUNCTIONS(256)

static const OSSL_ALGORITHM ferry_ctr_algorithms[] = {
    {"AES-128-CTR", "provider=ferry", ferry_ctr_functions_128, "AES-CTR with read-ahead"},
    {"AES-192-CTR", "provider=ferry", ferry_ctr_functions_192, "AES-CTR with read-ahead"},
    {"AES-256-CTR", "provider=ferry", ferry_ctr_functions_256, "AES-CTR with read-ahead"},
    {NULL, NULL, NULL, NULL}};

static const OSSL_ALGORITHM *ferry_provider_query(void *provider, int operation, int *no_cache)
{
    (void)provider;
    *no_cache = 0;
    return operation == OSSL_OP_CIPHER ? ferry_ctr_algorithms : NULL;
}

static const OSSL_DISPATCH ferry_provider_functions[] = {
    {OSSL_FUNC_PROVIDER_QUERY_OPERATION, (ferry_function)ferry_provider_query}, {0, NULL}};

static int ferry_provider_start(const OSSL_CORE_HANDLE *handle, const OSSL_DISPATCH *in, const OSSL_DISPATCH **out,
                                void **provider)
{
    (void)in;
    *out = ferry_provider_functions;
    *provider = (void *)handle;
    return 1;
}

/* Kept, so that the providers have an owner; sessions may still run in exit(), so nothing unloads them. */
static OSSL_PROVIDER *default_provider, *ferry_provider;

int ferry_prefer_ctr_read_ahead(void)
{
    /* Loading one provider ends the automatic loading of the default one. */
    default_provider = OSSL_PROVIDER_load(NULL, "default");
    if (!default_provider) return 0;
    if (!OSSL_PROVIDER_add_builtin(NULL, "ferry", ferry_provider_start)) return 0;
    ferry_provider = OSSL_PROVIDER_load(NULL, "ferry");
    if (!ferry_provider) return 0;
    if (EVP_set_default_properties(NULL, "?provider=ferry")) return 1;
    OSSL_PROVIDER_unload(ferry_provider);
    ferry_provider = NULL;
    return 0;
}

#else

int ferry_prefer_ctr_read_ahead(void) { return 0; }

#endif
