#ifndef FERRY_CREADAHEADCTR_H
#define FERRY_CREADAHEADCTR_H

/*
 * Registers AES in counter mode with read-ahead in OpenSSL and makes it the preferred implementation; it stays until
 * the process ends. Called once. 0 leaves everything as it was, for instance with an OpenSSL before 3.
 */
int ferry_prefer_ctr_read_ahead(void);

#endif
